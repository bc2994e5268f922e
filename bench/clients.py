"""Clients that publish at once, each a process with one connection."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import NamedTuple

from wire import Wire


class Put(NamedTuple):
    """A request that publishes."""

    path: str
    body: bytes
    expected: int


Work = Callable[[], Iterable[Put]]


def put_crate(body: bytes) -> Put:
    """Return what cargo sends."""
    return Put("/cargo/api/v1/crates/new", body, 200)


def put_npm(name: str, body: bytes) -> Put:
    """Return what npm sends."""
    return Put(f"/npm/{name.replace('/', '%2f')}", body, 201)


def run_clients(port: int, token: str, works: Sequence[Work]) -> tuple[float, list[float]]:
    """Return how long all clients took, in seconds, and each request's milliseconds.

    works: one for each client, which makes its requests before the clock starts.
    """
    context = multiprocessing.get_context("fork")
    start = context.Event()
    pipes, processes = [], []
    for work in works:
        ours, theirs = context.Pipe()
        arguments = (start, Wire(port, token), work, theirs)
        processes.append(context.Process(target=_client, args=arguments, daemon=True))
        processes[-1].start()
        pipes.append(ours)
    for pipe in pipes:
        assert pipe.recv() == "ready"
    began_s = time.perf_counter()
    start.set()
    durations = [one for pipe in pipes for one in pipe.recv()]
    took_s = time.perf_counter() - began_s
    for process in processes:
        process.join()
    return took_s, durations


def _client(start: Event, wire: Wire, work: Work, pipe: Connection) -> None:
    puts = list(work())
    pipe.send("ready")
    start.wait()
    durations = []
    for put in puts:
        began_s = time.perf_counter()
        wire.ask("PUT", put.path, put.body, put.expected)
        durations.append((time.perf_counter() - began_s) * 1000)
    pipe.send(durations)
    os._exit(0)
