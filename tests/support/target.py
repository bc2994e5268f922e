"""A registry to attack, which tells whether an attack has changed, killed or filled anything."""

import json
from pathlib import Path

import httpx

from process_tree import ProcessTree, session, wait_until
from raw_http import Answer, exchange
from uploads import new_crate, npm_body

CRATE = "victim"
KEPT_BYTES = 120 * 1024 * 1024
"""What all processes may have grown by: caches have their limits, and each thread its arena."""
PACKAGES = ("victim", "@scope/victim", "@scope/with.dots")


class Target(ProcessTree):
    """Talked to directly: what is sent here would confuse the relay as well."""

    def __init__(self, folder: Path, **settings: object) -> None:
        # Counts of downloads are events, too: none shall come while a refusal is looked at.
        super().__init__(folder, **{"downloads_flush_s": 86_400, **settings})
        self._workers: list[int] = []
        self._memory_bytes = 0
        self._direct = httpx.Client(base_url=self.direct, timeout=60)

    def close(self) -> None:
        self._direct.close()
        super().close()

    def fill(self) -> None:
        """Publish as alice what is worth attacking."""
        for vers in ("1.0.0", "1.1.0"):
            answer = self._direct.put(
                "/cargo/api/v1/crates/new", content=new_crate(CRATE, vers), headers=self.token()
            )
            assert answer.status_code == 200, answer.text
            for name in PACKAGES:
                body = npm_body({"name": name, "version": vers})
                path = f"/npm/{name.replace('/', '%2f')}"
                answer = self._direct.put(path, json=body, headers=self.token())
                assert answer.status_code == 201, answer.text
        self._workers = sorted(self.workers())
        self._memory_bytes = self.memory_bytes()

    def position(self) -> int:
        """The length of the history."""
        return int(self._direct.get("/health").json()["position"])

    def ask(self, data: bytes, timeout_s: float = 30) -> Answer | None:
        """Say something on a new connection, hear the answer, and check that it harmed nobody."""
        before = self.position()
        answer = exchange(self.port, data, timeout_s)
        if answer is None:
            return None
        assert answer.status < 500, f"{data[:3000]!r}\n{answer}\n{self.end_of_log()}"
        if answer.status >= 400:
            assert self.position() == before, f"refused, but recorded: {data[:3000]!r}\n{answer}"
        return answer

    def uploads(self) -> list[str]:
        """Files of uploads that are under way, or were left behind."""
        return [path.name for path in (self.data / "blobs" / "uploads").iterdir()]

    def memory_bytes(self) -> int:
        """What all processes hold together: their own, and their share of what they share."""
        return sum(pss_bytes(process.pid) for process in session(self.pid))

    def assert_unharmed(self) -> None:
        """The same processes serve, and nothing lies around or stays in memory."""
        wait_until(lambda: not self.uploads(), "no upload is left behind", 30)
        assert sorted(self.workers()) == self._workers, self.end_of_log()
        assert self._direct.get("/health").status_code == 200
        assert self.memory_bytes() < self._memory_bytes + KEPT_BYTES
        assert "Traceback" not in self.log.read_text(), self.end_of_log()


def pss_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def assert_own_format(path: str, answer: Answer) -> None:
    """An error's body is what the client that uses this path can print."""
    body = json.loads(answer.body)
    if path.startswith("/cargo/"):
        sentences = [one["detail"] for one in body["errors"]]
    else:
        sentences = [body["error"]]
    assert all(isinstance(one, str) and len(one) > 10 for one in sentences), body
