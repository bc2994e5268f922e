"""A registry with a static tree behind a real nginx with the shipped configuration."""

import time
from pathlib import Path

import httpx

from nginx_server import START_TIMEOUT_S, NginxServer
from running_registry import RunningRegistry


class FrontedRegistry(RunningRegistry):
    """A registry with a static tree behind an nginx, which is what its clients know.

    `tap` is between the two: its exchanges are what nginx did not answer itself. `direct` asks the
    app.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        self.tree = folder / "tree"
        super().__init__(folder, static_tree=self.tree, **settings)
        access = "private" if settings.get("private") else "public"
        self.nginx = NginxServer(f"127.0.0.1:{self.tap.port}", self.tree, access)
        self.url = self.env["PACKLEDGER_PUBLIC_URL"] = self.nginx.url
        self.http.close()
        self.http = httpx.Client(base_url=self.url, timeout=60)
        self.direct = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def start(self) -> None:
        super().start()
        self.nginx.start()

    def close(self) -> None:
        self.direct.close()
        self.nginx.stop()
        super().close()

    def files(self) -> list[str]:
        """The documents that nginx has."""
        return sorted(
            str(path.relative_to(self.tree))
            for kind in ("cargo", "npm")
            for path in (self.tree / kind).rglob("*")
            if path.is_file()
        )

    def wait_for(self, *paths: str) -> None:
        """Wait until the tree has these files again."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while missing := [path for path in paths if not (self.tree / path).exists()]:
            assert time.monotonic() < deadline_s, f"{missing} not written:\n{self.end_of_log()}"
            time.sleep(0.01)
