"""Stands for the package ``spaces`` (0.51): the same decorator, by the same means, with a processor in place of the GPU.

A generator runs in a child forked from the page's process, which is kept for the next call. Arguments and what it yields
are pickled. Errors come back as Gradio's, by their name alone, as do minutes that are used up and a child that is killed.

Attributes:
    asked: the seconds asked for, call by call.
    minutes: seconds that the account has left.
    kill_after: so many items of a call are taken before its child is killed, as one that is too slow is.
    tokens: the requests whose minutes were taken, call by call.
    workers: the child and the pipe to it, once there is one.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import gradio
from gradio.context import LocalContext

FORK = multiprocessing.get_context("fork")
asked: list[int] = []
tokens: list[Any] = []
minutes = [10_000]
kill_after = [10**9]
workers: list[Any] = []


def GPU(duration: Callable[..., int]) -> Callable[..., Any]:
    def decorated(task: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        if os.environ.get("SPACES_ZERO_GPU") != "true":
            return task

        def call(*args: Any) -> Iterator[Any]:
            seconds = duration(*args)
            if seconds > minutes[0]:
                raise gradio.Error(
                    f"You have exceeded your free ZeroGPU quota ({seconds}s requested vs. {minutes[0]}s left)."
                )
            minutes[0] -= seconds
            asked.append(seconds)
            tokens.append(LocalContext.request.get(None))
            yield from _call(task, args)

        return call

    return decorated


def _call(task: Callable[..., Iterator[Any]], args: tuple[Any, ...]) -> Iterator[Any]:
    if not workers:
        ours, theirs = FORK.Pipe()
        process = FORK.Process(target=_serve, args=(task, theirs), daemon=True)
        process.start()
        theirs.close()
        workers.append((process, ours))
    process, pipe = workers[0]
    pipe.send_bytes(pickle.dumps(args))
    taken = 0
    while True:
        try:
            kind, value = pickle.loads(pipe.recv_bytes())
        except EOFError:
            workers.clear()
            raise gradio.Error("GPU task aborted") from None
        if kind == "error":
            raise gradio.Error(value)
        if kind == "end":
            return
        taken += 1
        if taken > kill_after[0]:
            process.kill()
            process.join()
            continue
        yield value


def _serve(task: Callable[..., Iterator[Any]], pipe: Any) -> None:
    while True:
        try:
            args = pickle.loads(pipe.recv_bytes())
        except EOFError:
            os._exit(0)
        last: tuple[str, Any] = ("end", None)
        try:
            for item in task(*args):
                pipe.send_bytes(pickle.dumps(("item", item)))
        except Exception as error:  # noqa: BLE001 the real one takes them all too
            last = ("error", type(error).__name__)
        pipe.send_bytes(pickle.dumps(last))
