"""Source of a model: the user's text, parsed once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from dreamgui.errors import UnknownName

DEMO = "demo"
CIVITAI_HOSTS = ("civitai.com", "civitai.red", "civitai.green")
HUB_HOSTS = ("huggingface.co", "hf.co")
_HUB_ID = re.compile(r"(?:hf:)?([\w.-]+/[\w.-]+)(?:@([\w./-]+))?(?::([\w ./()+-]+))?", re.ASCII)
_ADVICE = (
    "Give the path of a .safetensors or .ckpt file or of a diffusers folder, a civitai address, "
    "a Hugging Face id (owner/name), or 'demo'."
)


@dataclass(frozen=True)
class BundledModel:
    """The demo model that ships with the program."""


@dataclass(frozen=True)
class LocalPath:
    """A file or a diffusers folder on this machine."""

    path: Path


@dataclass(frozen=True)
class CivitaiModel:
    """A version on civitai, or a model whose newest version is meant."""

    model_id: int | None
    version_id: int | None


@dataclass(frozen=True)
class HubModel:
    """A Hugging Face model: a diffusers folder, or one file of it. ``revision``: branch, tag or commit."""

    repo: str
    revision: str = "main"
    file: str = ""


Source = BundledModel | LocalPath | CivitaiModel | HubModel


def parse_source(text: str) -> Source:
    """Return what kind of source a text names. A path that exists wins over an id of the same spelling.

    Raises:
        UnknownName: it is nothing that DreamGUI can fetch.
    """
    text = text.strip()
    if text == DEMO:
        return BundledModel()
    if urlsplit(text).scheme in ("http", "https"):
        return _address(text)
    path = Path(text).expanduser() if text and "\0" not in text and len(text) < 4000 else None
    if path is not None and path.exists():
        if not (path.is_file() or path.is_dir()):
            raise UnknownName(f"{path.name[:200]!r} is a pipe, a socket or a device, no file.", _ADVICE)
        return LocalPath(path)
    if found := re.fullmatch(r"(?:civitai:)?(\d{1,12})", text):
        return CivitaiModel(None, int(found[1]))
    found = _HUB_ID.fullmatch(text)
    if found and ".." not in text and not found[1].endswith((".safetensors", ".ckpt", ".pt")):
        return HubModel(found[1], found[2] or "main", found[3] or "")
    raise UnknownName(f"There is no file {text[:200]!r}.", _ADVICE)


def _address(text: str) -> Source:
    url = urlsplit(text)
    host, pieces = (
        (url.hostname or "").removeprefix("www."),
        [unquote(piece) for piece in url.path.split("/") if piece],
    )
    if host in CIVITAI_HOSTS:
        return _civitai_page(text, pieces, parse_qs(url.query))
    if host in HUB_HOSTS and len(pieces) >= 2:
        if len(pieces) > 4 and pieces[2] in ("blob", "resolve"):
            return HubModel(f"{pieces[0]}/{pieces[1]}", pieces[3], "/".join(pieces[4:]))
        return HubModel(
            f"{pieces[0]}/{pieces[1]}", pieces[3] if len(pieces) > 3 and pieces[2] == "tree" else "main"
        )
    raise UnknownName(f"{host or text[:80]} isn't a site that DreamGUI fetches models from.", _ADVICE)


def _civitai_page(text: str, pieces: list[str], query: dict[str, list[str]]) -> CivitaiModel:
    """https://civitai.com/models/MODEL/NAME?modelVersionId=VERSION, or .../api/download/models/VERSION."""
    version = (query.get("modelVersionId") or query.get("modelVersionID") or [""])[0]
    if pieces[:3] == ["api", "download", "models"] and len(pieces) > 3:
        version = pieces[3]
    if pieces[:1] == ["model-versions"] and len(pieces) > 1:
        version = pieces[1]
    model = pieces[1] if pieces[:1] == ["models"] and len(pieces) > 1 else ""
    if not (version or model) or not (version or model).isascii() or not (version or model).isdigit():
        raise UnknownName(
            f"{text[:200]} isn't the page of a civitai model.", "Copy the address of the model's page."
        )
    return CivitaiModel(int(model) if model.isdigit() else None, int(version) if version else None)
