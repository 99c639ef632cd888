"""ControlNet tab: control image, its map, and pictures that follow it."""
