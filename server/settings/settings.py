"""The settings: one TOML file < environment `PACKLEDGER_*` < flags.

Source of the file's format: https://toml.io/en/v1.0.0
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from packledger.commands.limits import MIB
from packledger.server.settings.service_links import is_service_link
from packledger.server.settings.values import (
    BadSettings,
    check_log_vkey,
    check_network,
    check_npm_root,
    check_witnesses,
    is_plain_url,
)
from packledger.server.settings.words import PREFIX, Source, allowed, given, in_their_words, key_of

TOKEN = f"{PREFIX}TOKEN"
"""Of another node; for a command, and no setting."""
DEFAULT_LISTEN = "http://127.0.0.1:8765"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def _about(text: str, ge: float | None = None, le: float | None = None) -> msgspec.Meta:
    """Return a setting's documentation, from which `docs/configuration.md` is made."""
    return msgspec.Meta(description=text, ge=ge, le=le)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set."""

    data: Annotated[
        str, _about("The data directory. In a file, relative paths are relative to the file.")
    ] = "packledger-data"
    listen: Annotated[
        tuple[str, ...],
        _about(
            "Where to listen, `http://HOST:PORT`, one or several; separated by commas in the "
            "environment. TLS is for the proxy in front."
        ),
    ] = (DEFAULT_LISTEN,)
    public_url: Annotated[
        str,
        _about(
            "The URL that clients use. It is written into documents and lock files: choose it "
            "once. Default: the first `listen`; required when a listener is not on loopback."
        ),
    ] = ""
    npm_root: Annotated[
        str,
        _about(
            "The URL of a host, or of a listener, that is npm's alone, such as "
            "`https://npm.example.com`: npm is at its root, as well as below `/npm/` of "
            "`public_url`, for lock files that name a registry without a path. A proxy must pass "
            "`Host` on. Empty: none."
        ),
    ] = ""
    private: Annotated[
        bool, _about("Whether reading needs a token, too. cargo then needs a credential provider.")
    ] = False
    registration: Annotated[
        Literal["closed", "open"],
        _about(
            "`open` lets `npm login` with a new name create an account. Not with `private`: a "
            "stranger could register and read everything."
        ),
    ] = "closed"
    workers: Annotated[int, _about("Web worker processes: one for each core.", ge=1, le=64)] = 2
    max_crate_bytes: Annotated[int, _about("The largest `.crate`, compressed.", ge=1)] = 32 * MIB
    max_unpacked_bytes: Annotated[
        int, _about("The most that an uploaded archive may unpack to.", ge=1)
    ] = 512 * MIB
    max_npm_body_bytes: Annotated[
        int,
        _about("The largest body of `npm publish`; base64 makes a tarball a third larger.", ge=1),
    ] = 128 * MIB
    wildcard_dependencies: Annotated[
        bool, _about("Whether a crate may depend on `*`, any version of another one.")
    ] = False
    downloads_flush_s: Annotated[
        float,
        _about("How often download counts are appended to the log, in seconds.", ge=0.1),
    ] = 60.0
    proxies: Annotated[
        tuple[str, ...],
        _about(
            "Addresses or networks of the proxies in front, whose `X-Forwarded-For` says where a "
            "client is, for the limit of wrong passwords; separated by commas in the environment."
        ),
    ] = ("127.0.0.0/8", "::1")
    client_timeout_s: Annotated[
        float,
        _about(
            "How long a client may do nothing while it is its turn: send a request, go on with a "
            "body, take an answer, in seconds. Bodies and answers must make 1 KiB a second.",
            ge=1,
        ),
    ] = 30.0
    database: Annotated[
        str,
        _about(
            "The event store of several machines, `postgresql://USER:PASSWORD@HOST:PORT/NAME`. "
            "Empty: SQLite in `data`."
        ),
    ] = ""
    database_connections: Annotated[
        int, _about("The most connections to `database` that one process keeps.", ge=1, le=100)
    ] = 8
    s3_bucket: Annotated[
        str, _about("The S3 bucket of the blobs, created if missing. Empty: files in `data`.")
    ] = ""
    s3_prefix: Annotated[str, _about("What the names of all objects begin with.")] = ""
    s3_endpoint: Annotated[
        str,
        _about("The URL of an S3 server that is not Amazon's, such as `http://127.0.0.1:9000`."),
    ] = ""
    s3_public_endpoint: Annotated[
        str, _about("The URL of `s3_endpoint` as clients reach it, for redirects.")
    ] = ""
    s3_region: Annotated[str, _about("The region of the bucket.")] = "us-east-1"
    s3_access_key: Annotated[
        str, _about("The access key. Empty: as AWS tools find it, in their environment or files.")
    ] = ""
    s3_secret_key: Annotated[str, _about("The secret of `s3_access_key`.")] = ""
    s3_ca_bundle: Annotated[
        str, _about("A PEM file of the authorities that may sign the certificate of the S3 server.")
    ] = ""
    s3_timeout_s: Annotated[
        float, _about("How long the S3 server may say nothing, in seconds.", ge=0.1)
    ] = 30.0
    s3_redirect: Annotated[
        bool,
        _about(
            "Whether a download is answered by a redirect to a presigned URL of the S3 server "
            "instead of the bytes."
        ),
    ] = False
    kafka: Annotated[
        tuple[str, ...],
        _about(
            "Kafka brokers, `HOST:PORT`, from which this node reads the log. Empty: it reads the "
            "event store itself."
        ),
    ] = ()
    kafka_topic: Annotated[
        str, _about("The topic of the log: one partition, kept for ever. The relay creates it.")
    ] = "packledger-events"
    kafka_replicas: Annotated[
        int, _about("On how many brokers a topic that the relay creates is kept.", ge=1)
    ] = 1
    kafka_tls: Annotated[bool, _about("Whether to speak TLS with the brokers.")] = False
    kafka_ca_file: Annotated[
        str, _about("A PEM file of the authorities that may sign the brokers' certificates.")
    ] = ""
    kafka_user: Annotated[str, _about("The user for SASL (SCRAM-SHA-512). Empty: none.")] = ""
    kafka_password: Annotated[str, _about("The password of `kafka_user`.")] = ""
    node: Annotated[
        str,
        _about(
            "The name of this node, under which it counts downloads. Default: the host's name, "
            "`embedded` without `database`."
        ),
    ] = ""
    static_tree: Annotated[
        str,
        _about(
            "A directory for index files and packuments as files, for nginx in front. Empty: none."
        ),
    ] = ""
    witnesses: Annotated[
        tuple[str, ...],
        _about(
            "Witnesses that cosign the transparency log's checkpoints, each `VKEY URL`; separated "
            "by commas in the environment. One that is down delays nothing."
        ),
    ] = ()
    log_vkey: Annotated[
        str,
        _about(
            "The verifier key of the transparency log, where it is signed elsewhere, by "
            "`packledger sign --url`. Empty: `serve` has the key and signs."
        ),
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _about("`info` logs every change and every failure; `debug` every request."),
    ] = "info"


KEYS = Settings.__struct_fields__
_LISTS = frozenset({"listen", "proxies", "kafka", "witnesses"})
"""What the environment separates by commas."""
_PATHS = ("data", "s3_ca_bundle", "kafka_ca_file", "static_tree")
"""What is relative to the settings file, in a settings file."""


_NEEDS = (
    ("database", "s3_bucket", "other machines cannot read files of this one"),
    ("kafka", "database", "the relay copies the log from there"),
    ("kafka_user", "kafka_password", "SCRAM proves that both sides know it"),
    ("kafka_password", "kafka_user", "set both or none"),
    ("kafka_ca_file", "kafka_tls", "without TLS nothing is certified"),
    ("s3_access_key", "s3_secret_key", "set both or none"),
    ("s3_secret_key", "s3_access_key", "set both or none"),
    ("s3_endpoint", "s3_bucket", "name the bucket for the blobs"),
    ("s3_redirect", "s3_bucket", "only a bucket has URLs to redirect to"),
    ("s3_public_endpoint", "s3_redirect", "only redirects name it"),
)
"""(key, what it needs, why): half a configuration is a mistake, not a choice."""


def load(config: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Return the settings of a file, the environment and flags, the later the stronger.

    Relative paths of the file are relative to it. Flags that are None do not count. What Kubernetes
    puts into the environment is none of ours.

    Raises:
        BadSettings: an unknown key or a value that cannot be used.
    """
    sources = (
        (Source.FILE, {} if config is None else _from_file(config)),
        (Source.ENVIRONMENT, _from_environment(environment)),
        (Source.FLAG, {key: value for key, value in flags.items() if value is not None}),
    )
    values: dict[str, Any] = {}
    source_of = dict.fromkeys(KEYS, Source.ENVIRONMENT if config is None else Source.FILE)
    for source, found in sources:
        values |= found
        source_of |= dict.fromkeys(found, source)
    try:
        return _completed(_converted(values))
    except BadSettings as error:
        raise BadSettings(in_their_words(str(error), source_of)) from error


def _converted(values: dict[str, Any]) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        key = key_of(error)
        raise BadSettings(
            f"`{key}` must be {allowed(Settings, key)}{given(key, values)}"
        ) from error


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadSettings(f"the settings file `{path}` cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"the settings file `{path}` is not TOML: {error}") from error
    for key in values:
        _check_known(key, f"`{path}`")
    for key in _PATHS:
        if isinstance(values.get(key), str) and values[key]:
            values[key] = str(path.parent / values[key])
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX) or name == TOKEN:
            continue
        key = name.removeprefix(PREFIX).lower()
        if key not in KEYS and is_service_link(name.removeprefix(PREFIX), text):
            continue
        _check_known(key, "the environment", shown=name)
        values[key] = text.split(",") if key in _LISTS else text
    return values


def _check_known(key: str, where: str, shown: str = "") -> None:
    if key in KEYS:
        return
    near = difflib.get_close_matches(key, KEYS, n=1)
    meant = (PREFIX + near[0].upper() if shown else near[0]) if near else ""
    hint = f"; did you mean `{meant}`?" if meant else f"; the keys are {', '.join(KEYS)}"
    raise BadSettings(f"unknown setting `{shown or key}` in {where}{hint}")


def _completed(settings: Settings) -> Settings:
    """Check what depends on several keys, and fill in the public URL."""
    if not settings.listen:
        raise BadSettings("`listen` needs at least one URL such as `http://127.0.0.1:8765`")
    hosts = [address(one)[0] for one in settings.listen]
    public_url = settings.public_url.rstrip("/")
    if not public_url:
        if any(host not in _LOOPBACK for host in hosts):
            raise BadSettings(
                "`public_url` is required when a listener is not on loopback: it is the URL that "
                "clients use, such as `https://registry.example.com`"
            )
        public_url = settings.listen[0].rstrip("/")
    # The system's choice of a port is not known yet.
    chosen = public_url if settings.public_url else public_url.removesuffix(":0")
    if not is_plain_url(chosen):
        raise BadSettings(
            "`public_url` must be http:// or https://, a host, and maybe a port and a path, not "
            f"`{public_url}`"
        )
    npm_root = settings.npm_root.rstrip("/")
    check_npm_root(npm_root, public_url)
    for proxy in settings.proxies:
        check_network(proxy)
    check_witnesses(settings.witnesses)
    check_log_vkey(settings.log_vkey)
    _check_s3(settings)
    _check_together(settings)
    return msgspec.structs.replace(settings, public_url=public_url, npm_root=npm_root)


def _check_together(settings: Settings) -> None:
    """Check what makes no sense, or no registry, together."""
    if settings.private and settings.registration == "open":
        raise BadSettings(
            "`private` and `registration` `open` exclude each other: any stranger could register "
            "and read everything; set `registration` to `closed` and create accounts with "
            "`packledger user add`, or set `private` to `false`"
        )
    for key, needed, why in _NEEDS:
        if getattr(settings, key) and not getattr(settings, needed):
            raise BadSettings(f"`{key}` needs `{needed}`: {why}")


def _check_s3(settings: Settings) -> None:
    """Check what boto3 would refuse in words of its own."""
    for key in ("s3_endpoint", "s3_public_endpoint"):
        url = getattr(settings, key)
        if url and not is_plain_url(url):
            raise BadSettings(f"`{key}` must be a URL such as `http://127.0.0.1:9000`, not `{url}`")
    if settings.s3_bucket and not _BUCKET.fullmatch(settings.s3_bucket):
        raise BadSettings(
            "`s3_bucket` must be 3 to 63 small letters, digits, dots and hyphens, not "
            f"`{settings.s3_bucket}`"
        )


def address(listen: str) -> tuple[str, int]:
    """Return the host and port of a `listen` value; port 0 lets the system choose.

    Raises:
        BadSettings: it is not `http://HOST:PORT`.
    """
    try:
        parts = urlsplit(listen)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or parts.scheme != "http" or parts.path not in {"", "/"}:
        raise BadSettings(f"`listen` must look like `http://127.0.0.1:8765`, not `{listen}`")
    return host, port


def from_environment(config: Path | None, flags: Mapping[str, Any]) -> Settings:
    """Return the settings of this process.

    Raises:
        BadSettings: as `load`.
    """
    return load(config, os.environ, flags)
