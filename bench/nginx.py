"""A real nginx on a folder of its own, as an operator would set it up to serve files."""

import os
import shutil
import signal
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path

import processes

START_TIMEOUT_S = 10
CONFIGURATION = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 65;
    keepalive_requests 1000000;
    gzip_static on;
    gzip_vary on;
    open_file_cache max=10000 inactive=60s;
    open_file_cache_valid 30s;
    open_file_cache_errors on;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/root;
    }}
}}
"""


class Nginx:
    """Serves `root`; a file with a `.gz` beside it is sent compressed to who accepts that."""

    def __init__(self, folder: Path, port: int) -> None:
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise RuntimeError("`nginx` is missing; run `tests/system_tools.sh bench`")
        self.port = port
        configuration = folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, port=port))
        if os.geteuid() == 0:
            # Its worker runs as another user, to whom a temporary folder is closed.
            configuration.write_text("user root;\n" + configuration.read_text())
        self._process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(configuration), "-e", f"{folder}/error.log"]
        )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            try:
                connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/")
                connection.getresponse().read()
                connection.close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("nginx did not start")

    def cpu_s(self) -> float:
        """Return the processor time that all its processes have used."""
        return processes.cpu_s(processes.below(self._process.pid))

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
