"""Conditions of an upload: the visitor has agreed to what happens to photographs, and there is room."""

from __future__ import annotations

from collections.abc import Callable

from dreamgui.quotas import SPARE_BYTES, free_bytes
from dreamgui.services import VisitorServices
from dreamgui.sizes import file_size
from dreamgui.ui.parts.uploads import FILES, cache_folder
from dreamgui.visitors import OWNER

Refusal = Callable[[str, int | None], str]
"""Gives the reason why a visitor may not upload so many bytes, "" for none; None bytes for a request that doesn't say."""

_NEARLY_FULL = "The server's disk is nearly full. Try again later."


def refusal_of(services: VisitorServices) -> Refusal:
    """Return the question whether an upload is refused."""

    def refusal(visitor: str, size_bytes: int | None) -> str:
        if visitor == OWNER:
            return _NEARLY_FULL if disk_bytes() < (size_bytes or 1) else ""
        if services.must_sign_in(visitor):
            return "Sign in with Hugging Face before you upload."
        if not services.may_upload(visitor):
            return 'Read "Before your first upload" on the page, and press "I have the right to use them".'
        if size_bytes is None:
            return "The upload names no size (Content-Length). Send the file with its size."
        return _too_much(services, visitor, size_bytes)

    return refusal


def disk_bytes() -> int:
    """Return the bytes that the disk of the uploads has free."""
    return free_bytes(cache_folder())


def _too_much(services: VisitorServices, visitor: str, size_bytes: int) -> str:
    limits, sent = services.limits, FILES.sent_bytes(visitor)
    if sent + size_bytes > limits.upload_bytes:
        return (
            f"The upload has {file_size(size_bytes)} and your unused uploads have {file_size(sent)}; the limit is "
            f"{file_size(limits.upload_bytes)}. Use or remove the earlier ones first."
        )
    if FILES.sent_bytes() + size_bytes > limits.uploads_in_all:
        return "The server's space for uploads is full. Try again later."
    if disk_bytes() < size_bytes + SPARE_BYTES:
        return _NEARLY_FULL
    return ""
