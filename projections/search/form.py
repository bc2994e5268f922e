"""What a search answer says of a version: picked from its manifest when it is published."""

import msgspec

from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.npm import NpmVersionPublished


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a search answer says of one version. by: who published it; the last two are URLs."""

    version: str
    date: str
    by: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    homepage: str = ""
    repository: str = ""


class _OfCrate(msgspec.Struct, gc=False):
    """What is shown of a crate's manifest; texts that are not there are left out of it."""

    description: str = ""
    keywords: tuple[str, ...] = ()


class _Repository(msgspec.Struct, frozen=True, gc=False):
    url: str = ""


class _OfNpm(msgspec.Struct, gc=False):
    """What is shown of a version object, as `domain.npm_fields` leaves it."""

    description: str = ""
    keywords: tuple[str, ...] = ()
    homepage: str = ""
    repository: _Repository = _Repository()


_of_crate = msgspec.json.Decoder(_OfCrate).decode
_of_npm = msgspec.json.Decoder(_OfNpm).decode
read_summary = msgspec.json.Decoder(Summary).decode


def crate_summary(event: CrateVersionPublished) -> Summary:
    """Return what is shown of a crate's version."""
    said = _of_crate(event.manifest)
    date = event.published_at or event.at
    return Summary(event.version, date, event.by, said.description, said.keywords)


def npm_summary(event: NpmVersionPublished) -> Summary:
    """Return what is shown of a package's version."""
    said = _of_npm(event.manifest)
    return Summary(
        event.version,
        event.published_at or event.at,
        event.by,
        said.description,
        said.keywords,
        said.homepage,
        said.repository.url,
    )
