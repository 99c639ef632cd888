"""The library: everything that a user made, with its figures, labels, trash and sizes."""
