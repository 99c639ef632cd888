"""Photographs, faces, crops and datasets."""
