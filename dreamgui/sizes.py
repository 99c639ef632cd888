"""Sizes for people: memory in GiB, as GPUs and drivers count it, files in kB, MB and GB, as disks do."""

from __future__ import annotations


def memory_size(size_bytes: float) -> str:
    """Return a size in memory: 5.3 GiB."""
    return f"{size_bytes / 2**30:.1f} GiB"


def file_size(size_bytes: float) -> str:
    """Return a size on a disk: 830 kB, 1.2 MB, 1.7 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes / 1e3:.0f} kB"
