"""Kind of a file, told from its first bytes. Its name proves nothing."""

from __future__ import annotations

HEAD_BYTES = 4096
"""How much of a file :func:`sniff` wants to see."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF or camera raw"),
    (b"MM\0*", "TIFF or camera raw"),
    (b"FUJIFILMCCD-RAW", "TIFF or camera raw"),
    (b"IIRO\x08\0\0\0", "TIFF or camera raw"),
    (b"IIRS\x08\0\0\0", "TIFF or camera raw"),
    (b"IIU\0\x18\0\0\0", "TIFF or camera raw"),
    (b"MMOR\0\0", "TIFF or camera raw"),
    (b"\0MRM", "TIFF or camera raw"),
    (b"FOVb", "TIFF or camera raw"),
    (b"II\x1a\0\0\0HEAPCCDR", "TIFF or camera raw"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\0\0\x01\0", "icon"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x1f\x8b", "gzip"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\b\x1b")


def sniff(head: bytes) -> str:
    """The format of a file by its first bytes.

    Args:
        head: the first :data:`HEAD_BYTES` bytes, or all of a shorter file.

    Returns:
        Pillow's name for what can be read ("JPEG", "PNG", "WEBP", "HEIF"), another format's usual name,
        "text", "empty", or "" where nothing is known.
    """
    if not head:
        return "empty"
    if head[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"AVI ": "AVI video", b"WAVE": "WAV sound"}.get(head[8:12], "RIFF")
    if head[4:8] == b"ftyp":
        return _by_brand(head[8:12])
    if head[257:262] == b"ustar":
        return "tar"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return "text" if _is_text(head) else ""


def _by_brand(brand: bytes) -> str:
    if brand in _HEIF_BRANDS:
        return "HEIF"
    return "AVIF" if brand in (b"avif", b"avis") else "video"


def _is_text(head: bytes) -> bool:
    if any(byte < 32 and byte not in _TEXT_CONTROLS for byte in head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # the last letter was cut in two
    return True
