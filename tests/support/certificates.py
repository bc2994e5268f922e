"""A certificate authority that says yes to every name, for what pretends to be a host."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """file: its own certificate, for clients to trust."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._making, self._contexts = threading.Lock(), dict[str, ssl.SSLContext]()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._sign(self._name, self._key, authority=True))

    def as_host(self, client: socket.socket) -> tuple[ssl.SSLSocket, str]:
        """Begin TLS with a client as the host that it asked for; the name of that."""
        asked: list[str] = []

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            asked.append(name or "")
            connection.context = self._context(name or "nobody")

        first = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        first.sni_callback = choose  # type: ignore[assignment]
        return first.wrap_socket(client, server_side=True), "".join(asked)

    def files(self, host: str) -> tuple[Path, Path]:
        """A certificate for a host and its key, in two files."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:60])])
        chain, secret = self._folder / f"{host}.pem", self._folder / f"{host}.key"
        chain.write_bytes(self._sign(name, key, authority=False, host=host))
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
        return chain, secret

    def context(self) -> ssl.SSLContext:
        """What believes this authority alone."""
        return ssl.create_default_context(cafile=str(self.file))

    def _context(self, host: str) -> ssl.SSLContext:
        with self._making:
            if host not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self.files(host))
                self._contexts[host] = context
            return self._contexts[host]

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool, host: str = ""
    ) -> bytes:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if host:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            made = made.add_extension(names, critical=False)
        certificate = made.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)
