"""A civitai model version by its public API (https://developer.civitai.com): which file, its size and SHA-256."""

from __future__ import annotations

import os
from typing import Any

import httpx

from dreamgui.errors import BadInput, BadModelFile
from dreamgui.models.sources.download import TIMEOUT, Remote, host_of
from dreamgui.models.sources.login import civitai_token
from dreamgui.models.sources.source import CivitaiModel

SITE = "https://civitai.com"
_ADVICE = (
    "Make an API key under your civitai account's settings and put it into the access token field "
    "or the environment variable CIVITAI_API_TOKEN."
)
_MAX_ANSWER_BYTES = 8_000_000


def site() -> str:
    """The API's address: DREAMGUI_CIVITAI_URL, else civitai.com."""
    return os.environ.get("DREAMGUI_CIVITAI_URL", SITE).rstrip("/")


def find_file(source: CivitaiModel, token: str = "") -> tuple[Remote, str]:
    """The file of a version that DreamGUI would take, and the address by which it can be found again.

    Args:
        token: an API key; empty means CIVITAI_API_TOKEN of the environment, if it is set.

    Raises:
        BadInput: there is no such version, it has no usable file, or the site can't be reached.
        BadModelFile: it isn't a checkpoint of Stable Diffusion 1.5 by its own account.
    """
    token = civitai_token(token)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    version_id = source.version_id or _newest(_ask(f"models/{source.model_id}", headers), source)
    version = _ask(f"model-versions/{version_id}", headers)
    try:
        file = _best_file(version)
        _check_kind(version, file["name"])
        url = file.get("downloadUrl") or f"{site()}/api/download/models/{version_id}"
        hashes = file.get("hashes") or {}
        remote = Remote(
            url=url,
            name=str(file["name"])[:120],
            site=host_of(site()),
            size_bytes=round(float(file["sizeKB"]) * 1024) if file.get("sizeKB") else None,
            sha256=str(hashes.get("SHA256", "")).lower(),
            login_advice=_ADVICE,
            headers=headers if host_of(url) == host_of(site()) else {},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{host_of(site())} describes version {version_id} in an unknown way.",
            "Download it in your browser.",
        ) from error
    return remote, f"civitai:{version_id}:{remote.name}"


def _ask(path: str, headers: dict[str, str]) -> dict[str, Any]:
    """One answer of the API."""
    host, url = host_of(site()), f"{site()}/api/v1/{path}"
    try:
        with (
            httpx.Client(timeout=TIMEOUT, follow_redirects=False) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            if answer.status_code == 404:
                raise BadInput(
                    f"{host} has no {path.replace('/', ' ').replace('model-versions', 'model version')}.",
                    "Check the address.",
                )
            if answer.status_code in (401, 403):
                raise BadInput(f"{host} asks for a login to show {path}.", _ADVICE)
            if answer.status_code != 200:
                raise BadInput(
                    f"{host} answers with status {answer.status_code}.",
                    "Try again later, or download the file in your browser.",
                )
            text = b""
            for chunk in answer.iter_bytes(65536):
                text += chunk
                if len(text) > _MAX_ANSWER_BYTES:
                    raise BadInput(
                        f"{host} answers with too much text.", "Download the file in your browser."
                    )
        found = httpx.Response(200, content=text).json()
        if isinstance(found, dict):
            return found
        raise ValueError("not a JSON object")
    except httpx.TransportError as error:
        raise BadInput(
            f"{host} can't be reached ({type(error).__name__}).",
            "Check the network, or download the file in your browser.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{host} asks for a login or is closed for now: it answers with a page.", _ADVICE
        ) from error


def _newest(model: dict[str, Any], source: CivitaiModel) -> int:
    versions = model.get("modelVersions")
    if not isinstance(versions, list) or not versions or not isinstance(versions[0].get("id"), int):
        raise BadInput(
            f"The civitai model {source.model_id} has no version to download.", "Choose another one."
        )
    return versions[0]["id"]


def _best_file(version: dict[str, Any]) -> dict[str, Any]:
    """A safetensors model file before a pickled one, the main one before others."""
    files = [file for file in version.get("files", []) if file.get("type") in ("Model", "Pruned Model")]
    if not files:
        raise BadInput(
            f"Version {version.get('id')} on civitai holds no model file.", "Choose another version."
        )

    def rank(file: dict[str, Any]) -> tuple[bool, bool]:
        return str(file["name"]).endswith(".safetensors"), bool(file.get("primary"))

    return max(files, key=rank)


def _check_kind(version: dict[str, Any], name: str) -> None:
    """Spare the download of what can't be used. The file itself is recognised by its content all the same."""
    kind, base = (
        str((version.get("model") or {}).get("type", "Checkpoint")),
        str(version.get("baseModel", "")),
    )
    if kind not in ("Checkpoint", "VAE"):
        raise BadModelFile(
            f"{name} is a {kind} on civitai, not a checkpoint.", "Choose a page of the kind 'Checkpoint'."
        )
    if base and not base.startswith(("SD 1", "Other")):
        raise BadModelFile(
            f"{name} is made for {base} on civitai.", "Choose a model whose page says 'SD 1.5'."
        )
