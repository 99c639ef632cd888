"""The machine's own logins at civitai and the Hugging Face Hub. Strangers never use them."""

from __future__ import annotations

import os

from huggingface_hub import get_token

_lent = [True]


def keep_to_owner() -> None:
    """Use no login from now on but tokens that a request brings: the users of this process aren't its owner."""
    _lent[0] = False


def hub_token(given: str = "") -> str:
    """Return the given token of the Hugging Face Hub, else the machine's own login, else ""."""
    return given or (get_token() or "" if _lent[0] else "")


def civitai_token(given: str = "") -> str:
    """Return the given token of civitai, else CIVITAI_API_TOKEN of the environment, else ""."""
    return given or (os.environ.get("CIVITAI_API_TOKEN", "") if _lent[0] else "")
