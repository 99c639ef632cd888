"""A real web server on loopback that plays civitai, Hugging Face and a file store, with the moods that they have."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Moods:
    """What the server has and how it behaves; ``seen`` gathers (method, path, headers) of each request.

    Attributes:
        files: bytes by path.
        answers: JSON by path.
        redirects: path to address.
        needs: path to the token without which it answers 401.
        pages: paths at which a login page stands, with status 200.
        broken_after: bytes after which the connection is dropped, once for each number.
        statuses: statuses that come before an answer, once each.
        ranges: whether it can send parts.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)
    pages: set[str] = field(default_factory=set)
    broken_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str = '"one"'
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def headers(self, path: str) -> list[dict[str, str]]:
        return [headers for _, seen, headers in self.seen if seen == path]


class Server(Moods):
    """Runs while its ``with`` block lasts; ``url`` is its address."""

    def __enter__(self) -> Server:
        server, handler = self, type("Handler", (_Handler,), {"moods": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    moods: Moods
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._send(200, b"", "text/plain")

    def do_GET(self) -> None:
        moods, path = self.moods, urlsplit(self.path).path
        moods.seen.append(("GET", path, {key.lower(): value for key, value in self.headers.items()}))
        if path in moods.files and moods.statuses:
            self._send(moods.statuses.pop(0), b"", "text/plain")
        elif path in moods.needs and self.headers.get("Authorization") != f"Bearer {moods.needs[path]}":
            self._send(401, b'{"error": "Unauthorized"}', "application/json")
        elif path in moods.redirects:
            self._send(307, b"", "text/plain", {"Location": moods.redirects[path]})
        elif path in moods.pages:
            self._send(200, b"<!DOCTYPE html><title>Log in</title>", "text/html; charset=utf-8")
        elif path in moods.answers:
            self._send(200, json.dumps(moods.answers[path]).encode(), "application/json")
        elif path in moods.files:
            self._file(moods.files[path])
        else:
            self._send(404, b"{}", "application/json", {"X-Error-Code": "RepoNotFound"})

    def _file(self, data: bytes) -> None:
        asked = self.headers.get("Range", "")
        fresh = self.headers.get("If-Range", self.moods.etag) == self.moods.etag
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.moods.ranges and fresh else 0
        if start >= len(data) > 0:
            self._send(416, b"", "text/plain")
            return
        more = {"ETag": self.moods.etag}
        if start:
            more["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = self.moods.broken_after.pop(0) if self.moods.broken_after else None
        self._send(206 if start else 200, data[start:], "application/octet-stream", more, cut)

    def _send(
        self, status: int, body: bytes, kind: str, more: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        self.close_connection = cut is not None or self.close_connection

    def log_message(self, format: str, *_: Any) -> None:
        """Quiet."""


def civitai_answers(server: Server, data: bytes, name: str = "anna.safetensors", **changes: Any) -> None:
    """Let the server have a civitai model 7 with one version 42 that holds this file."""
    path = "/api/download/models/42"
    file = {
        "id": 1, "name": name, "type": "Model", "primary": True, "sizeKB": len(data) / 1024,
        "hashes": {"SHA256": hashlib.sha256(data).hexdigest().upper()}, "downloadUrl": server.url + path,
    } | changes.pop("file", {})  # fmt: skip
    version = {
        "id": 42,
        "baseModel": "SD 1.5",
        "model": {"name": "Anna", "type": "Checkpoint"},
        "files": [file],
    } | changes
    server.answers["/api/v1/model-versions/42"] = version
    server.answers["/api/v1/models/7"] = {"id": 7, "modelVersions": [{"id": 42}, {"id": 41}]}
    server.files[path] = data


def hub_answers(
    server: Server, repo: str, files: dict[str, bytes], revision: str = "main", commit: str = "c" * 40
) -> None:
    """Let the server have a Hugging Face model of these files."""
    siblings = [
        {
            "rfilename": name,
            "size": len(data),
            "lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 9},
        }
        for name, data in files.items()
    ]
    answer = {
        "id": repo,
        "modelId": repo,
        "sha": commit,
        "siblings": siblings,
        "tags": [],
        "private": False,
        "downloads": 0,
    }
    server.answers[f"/api/models/{repo}/revision/{revision}"] = answer
    server.answers[f"/api/models/{repo}"] = answer
    for name, data in files.items():
        server.files[f"/{repo}/resolve/{commit}/{name}"] = data
