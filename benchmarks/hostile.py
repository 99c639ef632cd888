"""Ten kinds of hostile requests, for ``benchmarks.crowd``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx

from tests.threats.strangers import API

Request = Callable[[httpx.AsyncClient, int], Awaitable[object]]


async def _unknown_route(client: httpx.AsyncClient, number: int) -> object:
    return await client.get(f"/{API}/no-such-route/{number}")


async def _no_json(client: httpx.AsyncClient, number: int) -> object:
    return await client.post(f"/{API}/queue/join", content=b"{" * 1000)


async def _deep_json(client: httpx.AsyncClient, number: int) -> object:
    return await client.post(f"/{API}/queue/join", content=b"[" * 50_000 + b"]" * 50_000)


async def _foreign_origin(client: httpx.AsyncClient, number: int) -> object:
    body = {"fn_index": number % 400, "data": [], "session_hash": "x"}
    return await client.post(f"/{API}/queue/join", json=body, headers={"Origin": "https://example.com"})


async def _made_up_session(client: httpx.AsyncClient, number: int) -> object:
    return await client.get(f"/{API}/queue/data", params={"session_hash": f"made-up-{number}"}, timeout=1)


async def _foreign_file(client: httpx.AsyncClient, number: int) -> object:
    return await client.get(f"/{API}/file=/etc/passwd")


async def _no_listener(client: httpx.AsyncClient, number: int) -> object:
    body = {"fn_index": 10**9 + number, "data": [number], "session_hash": "x"}
    return await client.post(f"/{API}/queue/join", json=body)


async def _wrong_data(client: httpx.AsyncClient, number: int) -> object:
    body = {
        "fn_index": number % 400,
        "data": [{"path": "/etc/passwd"}] * 40,
        "session_hash": f"wrong-{number}",
    }
    return await client.post(f"/{API}/queue/join", json=body)


async def _large_body(client: httpx.AsyncClient, number: int) -> object:
    body = {"fn_index": 0, "data": ["x" * 3_000_000], "session_hash": "x"}
    return await client.post(f"/{API}/queue/join", json=body)


async def _foreign_host(client: httpx.AsyncClient, number: int) -> object:
    return await client.get("/config", headers={"Host": "example.com"})


KINDS: tuple[Request, ...] = (
    _unknown_route,
    _no_json,
    _deep_json,
    _foreign_origin,
    _made_up_session,
    _foreign_file,
    _no_listener,
    _wrong_data,
    _large_body,
    _foreign_host,
)
