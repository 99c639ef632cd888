"""Photographs from the disk: checked, decoded, upright, without metadata."""
