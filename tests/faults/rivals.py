"""Processes that send their requests at the same moment. Imported anew by each of them."""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import httpx

WAIT_S = 60


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    content: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    status_code: int
    content: bytes
    headers: dict[str, str]

    @property
    def response(self) -> httpx.Response:
        return httpx.Response(self.status_code, content=self.content, headers=self.headers)


def race(url: str, rounds: Sequence[Sequence[Request]]) -> list[list[Answer]]:
    """Send each round's requests at once, one from each process; the answers, in their order."""
    context = multiprocessing.get_context("spawn")
    rivals = len(rounds[0])
    assert all(len(one) == rivals for one in rounds)
    barrier = context.Barrier(rivals)
    answers: Queue[tuple[int, list[Answer]]] = context.Queue()
    processes: list[SpawnProcess] = [
        context.Process(
            target=_rival, args=(url, number, [one[number] for one in rounds], barrier, answers)
        )
        for number in range(rivals)
    ]
    for process in processes:
        process.start()
    try:
        got = dict(answers.get(timeout=WAIT_S) for _ in processes)
    finally:
        for process in processes:
            process.join(10)
            if process.exitcode is None:
                process.kill()
    return [[got[number][index] for number in range(rivals)] for index in range(len(rounds))]


def _rival(
    url: str,
    number: int,
    requests: list[Request],
    barrier: Barrier,
    answers: "Queue[tuple[int, list[Answer]]]",
) -> None:
    got = []
    with httpx.Client(base_url=url, timeout=WAIT_S) as http:
        http.get("/health")
        for one in requests:
            barrier.wait(WAIT_S)
            answer = http.request(one.method, one.path, content=one.content, headers=one.headers)
            kind = {"content-type": answer.headers.get("content-type", "")}
            got.append(Answer(answer.status_code, answer.content, kind))
    answers.put((number, got))
