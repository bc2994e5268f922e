"""The settings: one TOML file < environment `PACKLEDGER_*` < flags.

A new section is a struct beside what it configures (`domain/section.py` says how) and one line
here: `name: Kind = Kind()` is the table `[name]`, `names: tuple[Kind, ...] = ()` the tables
`[[names]]`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from packledger.api.access.settings import AccessSettings
from packledger.api.settings import Downloads
from packledger.audit.translog.settings import Translog
from packledger.commands.limits import Limits
from packledger.domain.section import Section, is_plain_url, setting
from packledger.eventstore.blobs.settings import S3
from packledger.eventstore.postgres.settings import Postgres
from packledger.feeds.settings import Brokers
from packledger.projections.static_tree.settings import Static
from packledger.server.http.settings import Http, address
from packledger.server.settings.keys import schema_of
from packledger.server.settings.sources import Found
from packledger.server.settings.values import BadSettings, check_npm_root
from packledger.server.settings.words import in_their_words, refusal

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Settings(Section, frozen=True, kw_only=True):
    """Everything that can be set: what is of no section, then the list of sections."""

    data: Annotated[
        str,
        setting(
            "The data directory. In a file, relative paths are relative to the file.", path=True
        ),
    ] = "packledger-data"
    public_url: Annotated[
        str,
        setting(
            "The URL that clients use. It is written into documents and lock files: choose it "
            "once. Default: the first `listen`; required when a listener is not on loopback."
        ),
    ] = ""
    node: Annotated[
        str,
        setting(
            "The name of this node, under which it counts downloads. Default: the host's name, "
            "`embedded` without `database`."
        ),
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        setting("`info` logs every change and every failure; `debug` every request."),
    ] = "info"

    http: Http = Http()
    access: AccessSettings = AccessSettings()
    limits: Limits = Limits()
    downloads: Downloads = Downloads()
    postgres: Postgres = Postgres()
    s3: S3 = S3()
    brokers: Brokers = Brokers()
    static: Static = Static()
    translog: Translog = Translog()


KEYS = tuple(schema_of(Settings).flat)
"""What can stand above the first table."""
AnySettings = TypeVar("AnySettings", bound=Settings)

_NEEDS = (
    ("postgres.url", "s3.bucket", "other machines cannot read files of this one"),
    ("brokers.servers", "postgres.url", "the relay copies the log from there"),
    ("brokers.user", "brokers.password", "SCRAM proves that both sides know it"),
    ("brokers.password", "brokers.user", "set both or none"),
    ("brokers.ca_file", "brokers.tls", "without TLS nothing is certified"),
    ("s3.access_key", "s3.secret_key", "set both or none"),
    ("s3.secret_key", "s3.access_key", "set both or none"),
    ("s3.endpoint", "s3.bucket", "name the bucket for the blobs"),
    ("s3.redirect", "s3.bucket", "only a bucket has URLs to redirect to"),
    ("s3.public_endpoint", "s3.redirect", "only redirects name it"),
)
"""(key, what it needs, why): half a configuration is a mistake, not a choice."""


def load(config: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Return the settings of a file, the environment and flags, the later the stronger.

    Relative paths of the file are relative to it. Flags that are None do not count. What Kubernetes
    puts into the environment is none of ours.

    Raises:
        BadSettings: an unknown key or a value that cannot be used.
    """
    return load_as(Settings, config, environment, flags)


def load_as(
    kind: type[AnySettings],
    config: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
) -> AnySettings:
    """Return settings that have more sections than ours; see `load`."""
    found = Found(schema_of(kind), config)
    if config is not None:
        found.read_file(config)
    found.read_environment(environment)
    found.read_flags(flags)
    try:
        return _completed(_converted(kind, found))
    except BadSettings as error:
        raise in_their_words(error, found.named) from error


def _converted(kind: type[AnySettings], found: Found) -> AnySettings:
    try:
        return msgspec.convert(found.values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise refusal(error, found.schema, found.values) from error


def _completed(settings: AnySettings) -> AnySettings:
    """Check what depends on several sections, and fill in the public URL."""
    listen = settings.http.listen
    public_url, first = settings.public_url.rstrip("/"), listen[0].rstrip("/")
    if not public_url:
        if any(address(one)[0] not in _LOOPBACK for one in listen):
            raise BadSettings(
                "`public_url` is required when a listener is not on loopback: it is the URL that "
                "clients use, such as `https://registry.example.com`"
            )
        public_url = first
    # The system's choice of a port is not known yet.
    chosen = public_url.removesuffix(":0") if public_url == first else public_url
    if not is_plain_url(chosen):
        raise BadSettings(
            "`public_url` must be http:// or https://, a host, and maybe a port and a path, not "
            f"`{public_url}`"
        )
    npm_root = settings.http.npm_root.rstrip("/")
    check_npm_root(npm_root, public_url)
    _check_together(settings)
    http = msgspec.structs.replace(settings.http, npm_root=npm_root)
    return msgspec.structs.replace(settings, public_url=public_url, http=http)


def _check_together(settings: Settings) -> None:
    """Check what makes no sense, or no registry, together."""
    if settings.access.private and settings.access.registration == "open":
        raise BadSettings(
            "`access.private` and `access.registration` `open` exclude each other: any stranger "
            "could register and read everything; set `access.registration` to `closed` and create "
            "accounts with `packledger user add`, or set `access.private` to `false`"
        )
    for key, needed, why in _NEEDS:
        if _at(settings, key) and not _at(settings, needed):
            raise BadSettings(f"`{key}` needs `{needed}`: {why}")


def _at(settings: Settings, dotted: str) -> Any:
    section, name = dotted.split(".")
    return getattr(getattr(settings, section), name)


def from_environment(config: Path | None, flags: Mapping[str, Any]) -> Settings:
    """Return the settings of this process.

    Raises:
        BadSettings: as `load`.
    """
    return load(config, os.environ, flags)
