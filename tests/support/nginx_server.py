"""A real nginx, with the shipped configuration or a plain one; also bench/ runs it."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from string import Template

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx"
START_TIMEOUT_S = 20
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class _Nginx:
    """One nginx, master and workers, on a free port; everything it writes is below one folder."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix="packledger-nginx-"))
        self._process: subprocess.Popen[bytes] | None = None

    def temporary(self) -> str:
        """Where it may write, for the block `http`."""
        return "".join(f"{name}_temp_path {self.folder}/{name};\n" for name in _TEMPORARY)

    def configure(self, main: str) -> None:
        """Write its main file."""
        # Root's workers are somebody else, who may not look into our folders.
        user = "user root;\n" if os.getuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(user + main)

    @property
    def pid(self) -> int:
        assert self._process is not None, "nginx is not running"
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until it listens."""
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        if not Path(program).exists():
            raise RuntimeError("there is no nginx here; `make test` installs it")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-p", str(self.folder), "-c", "nginx.conf", "-g", "daemon off;"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"nginx does not listen:\n{(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """End it, and remove what it wrote."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_TIMEOUT_S)
            self._process = None
        shutil.rmtree(self.folder)


class NginxServer(_Nginx):
    """With the shipped configuration."""

    def __init__(self, app: str, tree: Path, access: str = "public", workers: str = "1") -> None:
        super().__init__()
        values = {
            "PACKLEDGER_NGINX_LISTEN": f"127.0.0.1:{self.port}",
            "PACKLEDGER_NGINX_APP": app,
            "PACKLEDGER_NGINX_TREE": str(tree),
            "PACKLEDGER_NGINX_ACCESS": access,
            "PACKLEDGER_NGINX_RUN": str(self.folder),
        }
        shutil.copytree(SHIPPED / "packledger", self.folder / "packledger")
        (self.folder / "conf.d").mkdir()
        template = (SHIPPED / "packledger.conf.template").read_text()
        # As envsubst does: only these, nginx's own variables stay.
        (self.folder / "conf.d" / "packledger.conf").write_text(
            Template(template).safe_substitute(values)
        )
        # What a system's nginx has in its own folders.
        (self.folder / "conf.d" / "test.conf").write_text(self.temporary())
        main = (SHIPPED / "nginx.conf").read_text()
        main = main.replace("pid /run/nginx.pid;", f"pid {self.folder}/pid;")
        main = main.replace("worker_processes auto;", f"worker_processes {workers};")
        self.configure(main)


class DocumentedServer(_Nginx):
    """With a server block as a document has it, beside another server that takes the rest."""

    def __init__(self, block: str, listen: str) -> None:
        """listen: the block's own words, which become those of a free port."""
        super().__init__()
        assert f"listen {listen};" in block
        here = f"127.0.0.1:{self.port}"
        block = block.replace(f"listen {listen};", f"listen {here}{listen.lstrip('0123456789')};")
        # With TLS it would need a certificate of its own.
        other = f"server {{ listen {here} default_server; return 200 other; }}"
        other = other if listen.isdigit() else ""
        self.configure(
            f"pid {self.folder}/pid; error_log stderr; worker_processes 1; events {{}}\n"
            f"http {{ access_log off; {self.temporary()}\n{other}\n{block}\n}}\n"
        )


class PlainServer(_Nginx):
    """Serves the files of a directory, and knows nothing of registries."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.configure(
            f"pid {self.folder}/pid; error_log stderr; worker_processes 1; events {{}}\n"
            f"http {{ access_log off; {self.temporary()}\n"
            f"  server {{ listen 127.0.0.1:{self.port}; root {root}; }}\n}}\n"
        )
