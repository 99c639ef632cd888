"""A web server on loopback that plays the writing half of the Hugging Face Hub, after its documented HTTP API."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_writer"


class HubServer:
    """Runs while its ``with`` block lasts.

    Attributes:
        url: its address.
        repositories: privacy by name.
        files: committed bytes by repository and path.
        large: paths that go by LFS end so.
        refuse: status with which commits are refused; 0 takes them.
    """

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[str, bool] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.large = (".safetensors", ".png")
        self.refuse = 0
        self._blobs: dict[str, bytes] = {}

    def __enter__(self) -> HubServer:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return a request's status and JSON."""
        if method == "PUT":
            self._blobs[path.rpartition("/")[2]] = body
            return 200, {}
        if path == "/api/whoami-v2":
            return 200, {"name": "anna", "type": "user"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith("/info/lfs/objects/batch"):
            return 200, {"objects": [self._ticket(each) for each in json.loads(body)["objects"]]}
        name = "/".join(path.split("/")[3:5])
        if name not in self.repositories:
            return 404, {"error": "Repository not found"}
        if "/preupload/" in path:
            return 200, {"files": [self._mode(each["path"]) for each in json.loads(body)["files"]]}
        if "/commit/" in path:
            return self._commit(name, body)
        return 200, {"id": name, "modelId": name, "private": self.repositories[name], "siblings": []}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        owner = asked.get("organization") or "anna"
        name = f"{owner}/{asked['name'].rpartition('/')[2]}"
        if owner != "anna":
            return 403, {"error": "Forbidden"}
        there = name in self.repositories
        private = asked.get("private") or asked.get("visibility") == "private"
        self.repositories.setdefault(name, bool(private))
        return 409 if there else 200, {"url": f"{self.url}/{name}", "name": name, "id": "1"}

    def _mode(self, path: str) -> dict[str, Any]:
        mode = "lfs" if path.endswith(self.large) else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False}

    def _ticket(self, each: dict[str, Any]) -> dict[str, Any]:
        href = f"{self.url}/blobs/{each['oid']}"
        return {**each, "actions": {"upload": {"href": href, "header": {}}}}

    def _commit(self, name: str, body: bytes) -> tuple[int, Any]:
        if self.refuse:
            return self.refuse, {"error": "<img src=x>"}
        kept = self.files.setdefault(name, {})
        for line in filter(None, body.decode().splitlines()):
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                kept[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                kept[value["path"]] = self._blobs[value["oid"]]
        oid = "c" * 40
        return 200, {"success": True, "commitOid": oid, "commitUrl": f"{self.url}/{name}/commit/{oid}"}


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def _do(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}" or path.startswith("/blobs/")
        status, answer = (
            self.hub.answer(self.command, path, body) if known else (401, {"error": "Unauthorized"})
        )
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    do_GET = do_POST = do_PUT = do_HEAD = _do  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""
