"""Datasets on their way in and out: photographs, captions, zips, other trainers' layouts."""
