"""Control maps: edges and poses of a picture, and maps that are ready."""
