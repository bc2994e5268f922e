"""The server blocks of docs/NGINX.md, with a real nginx that has another server, too."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from certificates import Authority
from nginx_server import DocumentedServer
from recipes import documents
from running_registry import RunningRegistry
from uploads import npm_body

HOST = "registry.example.com"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry whose public URL is the one of the documents."""
    running = RunningRegistry(tmp_path_factory.mktemp("behind"), public_url=f"https://{HOST}")
    try:
        running.start()
        running.add_user("alice")
        yield running
    finally:
        running.close()


@pytest.mark.parametrize(("name", "listen"), [("proxy", "80"), ("tls", "443 ssl")])
def test_a_documented_server_passes_on_what_was_sent_and_leaves_others_alone(
    behind: RunningRegistry, tmp_path: Path, name: str, listen: str
) -> None:
    authority = Authority(tmp_path / "certificates")
    chain, key = authority.files(HOST)
    text = documents()[f"docs/NGINX.md: {name}"].text
    text = text.replace("127.0.0.1:8765", f"127.0.0.1:{behind.tap.port}")
    text = text.replace(f"/etc/ssl/{HOST}.pem", str(chain))
    text = text.replace(f"/etc/ssl/private/{HOST}.key", str(key))
    nginx = DocumentedServer(text, listen)
    scheme = "https" if "ssl" in listen else "http"
    nginx.start()
    try:
        with httpx.Client(
            base_url=f"{scheme}://127.0.0.1:{nginx.port}",
            headers={"Host": HOST},
            verify=authority.context() if scheme == "https" else True,
        ) as http:
            ask = {"sni_hostname": HOST}
            body = npm_body({"name": f"@acme/{name}", "version": "1.0.0", "description": "x" * 99})
            url = f"/npm/@acme%2f{name}"
            sent = http.put(url, json=body, headers=behind.token(), extensions=ask)
            assert sent.status_code == 201, sent.text
            assert behind.tap.exchanges[-1].path == url
            assert behind.tap.exchanges[-1].headers["x-forwarded-for"] == "127.0.0.1"
            assert behind.tap.exchanges[-1].headers["host"] == HOST
            there = http.get(url, extensions=ask).json()["versions"]["1.0.0"]["dist"]["tarball"]
            assert there == f"https://{HOST}/npm/@acme/{name}/-/{name}-1.0.0.tgz"
            assert http.get("/cargo//index/config.json", extensions=ask).status_code == 400
            large = http.put(url, content=b"x" * 2 * MIB, headers=behind.token(), extensions=ask)
            assert large.status_code == 400, "nginx itself says 413 above 1 MiB"
            other = http.get("/", headers={"Host": "else.example.com"}, extensions=ask)
            assert (other.text == "other") == (scheme == "http")
    finally:
        nginx.stop()
