"""Datasets on the disk: crops, captions, edits, exports."""
