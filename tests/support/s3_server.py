"""A real S3 server on a free port: versitygw, whose objects are files of a folder.

`make test` builds it from tests/servers/s3.
"""

import atexit
import datetime
import functools
import hashlib
import ipaddress
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from packledger.eventstore.blobs.settings import S3
from running_registry import free_port

PROGRAM = Path(__file__).parents[2] / "build" / "s3" / "versitygw"
ACCESS_KEY, SECRET_KEY = "packledger", "only for tests"
REGION = "eu-test-1"
START_TIMEOUT_S = 30


class S3Server:
    """One server process; `start`, `stop` and `kill` may be repeated on the same data and port."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        if not PROGRAM.exists():
            raise FileNotFoundError(f"there is no `{PROGRAM}`; `make test` builds it")
        self.objects = folder / "objects"
        self.objects.mkdir(parents=True)
        self._log = folder / "s3.log"
        self.port = free_port()
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.certificate = folder / "certificate.pem"
        self._options: list[str] = []
        if tls:
            key = folder / "key.pem"
            write_certificate(self.certificate, key)
            self._options = ["--cert", str(self.certificate), "--key", str(key)]
        self._process: subprocess.Popen[bytes] | None = None

    def bucket(self, name: str, **more: Any) -> S3:
        """How a bucket of this server is reached; `more` says otherwise."""
        reached: dict[str, Any] = {
            "bucket": name,
            "endpoint": self.endpoint,
            "region": REGION,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "timeout_s": 10.0,
        }
        return S3(**(reached | more))

    def settings(self, bucket: str) -> dict[str, Any]:
        """The settings of a registry whose blobs are here."""
        return {
            "s3_bucket": bucket,
            "s3_endpoint": self.endpoint,
            "s3_region": REGION,
            "s3_access_key": ACCESS_KEY,
            "s3_secret_key": SECRET_KEY,
        }

    @property
    def pid(self) -> int:
        assert self._process is not None, "the S3 server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        command = [str(PROGRAM), "--region", REGION, "--keep-alive"]
        command += ["--port", f"127.0.0.1:{self.port}"]
        command += [*self._options, "posix", str(self.objects)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline_s:
                self.kill()
                raise AssertionError(f"the S3 server did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Whether it accepts and says anything: TLS needs more than a connection."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
                if not self._options:
                    return True
                context = ssl.create_default_context(cafile=str(self.certificate))
                with context.wrap_socket(plain, server_hostname="127.0.0.1"):
                    return True
        except OSError:
            return False

    def stop(self) -> None:
        """Let it finish what it does, and end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Have it say nothing any more, with its connections open."""
        self._process_running().send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a pause."""
        self._process_running().send_signal(signal.SIGCONT)

    def _process_running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the S3 server is not running"
        return self._process

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
            try:
                self._process.wait(START_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


@functools.cache
def shared_server() -> S3Server:
    """The server of this test process: started when it is first needed, ended with the process."""
    owner = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix="packledger-s3-"))
    server = S3Server(folder)

    def close() -> None:
        if os.getpid() == owner:
            server.kill()
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(close)
    server.start()
    return server


def bucket_for(folder: Path) -> str:
    """A bucket's name: the same for the same folder, and nobody else's."""
    return "blobs-" + hashlib.sha256(str(folder).encode()).hexdigest()[:20]


def write_certificate(certificate: Path, key: Path) -> None:
    """Write a certificate for loopback that is its own authority, as PEM files."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests of packledger")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
