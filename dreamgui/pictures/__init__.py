"""Generated pictures: how each was made, written into its file, and where they are kept."""
