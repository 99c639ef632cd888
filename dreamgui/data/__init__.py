"""Photographs, faces, crops and data sets."""
