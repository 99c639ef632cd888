"""A server that isn't DreamGUI, for ``benchmarks.crowd``: what clients cost a training on the same machine by themselves.

It answers 404 to every request, and sends to each viewer what one viewer of the page was sent, at the same pace.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from tests.threats.strangers import API

MOST_NICE = 19
FIRST_SECONDS = 3.0
STREAM = f"/{API}/queue/data"
News = list[tuple[float, bytes]]
_NOTHING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_STREAMED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def recorded(pieces: Iterator[bytes], seconds: float) -> News:
    """Return what a stream of news sends in this time, after its first answers: seconds since the last piece, and the piece."""
    news: News = []
    last = began = time.monotonic()
    with suppress(httpx.ReadTimeout):
        for piece in pieces:
            then, last = last, time.monotonic()
            if last - began > FIRST_SECONDS:
                news.append((last - then, piece))
            if last - began > FIRST_SECONDS + seconds:
                break
    return news


@contextmanager
def bare_server(news: News) -> Iterator[str]:
    """Serve in a process of its own, last in the line for the processor; yield the address."""
    context = multiprocessing.get_context("spawn")
    port = context.Value("i", 0)
    begun = context.Event()
    process = context.Process(target=_served, args=(news, port, begun))
    process.start()
    begun.wait(300)
    yield f"http://127.0.0.1:{port.value}/"
    process.kill()
    process.join()


def _served(news: News, port: Any, begun: Any) -> None:
    os.nice(MOST_NICE)
    asyncio.run(_serve(news, port, begun))


async def _serve(news: News, port: Any, begun: Any) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].partition(b"\r\n")[0].strip()
                await reader.readexactly(int(length or 0))
                if STREAM.encode() in head.partition(b"\r\n")[0] and b"viewer-" in head:
                    return await _play(news, writer)
                writer.write(_NOTHING)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port.value = server.sockets[0].getsockname()[1]
    begun.set()
    await server.serve_forever()


async def _play(news: News, writer: asyncio.StreamWriter) -> None:
    writer.write(_STREAMED)
    while True:
        for seconds, piece in news or [(1.0, b"")]:
            await asyncio.sleep(seconds)
            writer.write(piece)
            await writer.drain()
