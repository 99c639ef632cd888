"""Model files: formats, recognition, layouts, reading and writing."""
