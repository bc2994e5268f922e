"""Judge an npm PUT: what it publishes or changes, and whether the tarball is what it says.

Source: https://github.com/npm/libnpmpublish (`lib/publish.js`, `lib/unpublish.js`),
https://github.com/npm/cli (`lib/commands/{deprecate,owner,star}.js`)
"""

from base64 import b64encode
from collections.abc import Mapping

import msgspec

from packledger.commands.npm.attachment import Decoded
from packledger.commands.npm.body import BodyAttachment, BodyDist, BodyVersion, NpmBody
from packledger.domain.errors import Invalid
from packledger.domain.npm.names import check_dist_tag
from packledger.domain.npm.versions import clean_npm_version

MAX_DEPRECATION_LENGTH = 1024
"""Our limit, npm has none: every packument and every install repeats the message."""
MAX_TAGS = 20
"""In one publish; npm sends one."""


class PublishRequest(msgspec.Struct, frozen=True):
    """A publish whose body agrees with itself. client: texts for `normalise_package_json`."""

    name: str
    version: str
    dist_tags: tuple[str, ...]
    filename: str
    attachment: BodyAttachment
    dist: BodyDist
    client: Mapping[str, str]


class NpmEdit(msgspec.Struct, frozen=True):
    """A change without a tarball; `None` means that the body says nothing about it.

    deprecations: version as sent → message, empty for none; dists: version → what the body says
    about its tarball, to compare; stars: account names.
    """

    rev: str | None
    dist_tags: dict[str, str] | None
    deprecations: dict[str, str] | None
    dists: dict[str, BodyDist]
    maintainers: tuple[str, ...] | None
    stars: tuple[str, ...] | None


def check_publish(body: NpmBody, url_name: str) -> PublishRequest:
    """Return the publish that a body asks for; whether its name may be new is not looked at.

    Raises:
        Invalid: name, version, dist-tags or attachments disagree or are not one of each.
    """
    _check_name(body, url_name)
    version, described = _one_version(body, url_name)
    tags = _tags(body, version)
    filename, attachment = _one_attachment(body, url_name)
    client = {
        "_nodeVersion": described.node_version,
        "_npmVersion": described.npm_version,
        "gitHead": described.git_head,
    }
    return PublishRequest(
        name=url_name,
        version=version,
        dist_tags=tags,
        filename=filename,
        attachment=attachment,
        dist=described.dist or BodyDist(),
        client={field: text for field, text in client.items() if isinstance(text, str)},
    )


def read_edit(body: NpmBody, url_name: str) -> NpmEdit:
    """Return what a body without attachments asks for.

    Raises:
        Invalid: it names another package, or holds a message that is too long.
    """
    _check_name(body, url_name)
    versions = body.versions
    return NpmEdit(
        rev=body.rev,
        dist_tags=body.dist_tags,
        deprecations=None
        if versions is None
        else {key: _message(key, version.deprecated) for key, version in versions.items()},
        dists={key: version.dist or BodyDist() for key, version in (versions or {}).items()},
        maintainers=None
        if body.maintainers is None
        else tuple(dict.fromkeys(person.name for person in body.maintainers)),
        stars=None
        if body.users is None
        else tuple(account for account, starred in body.users.items() if starred),
    )


def check_digests(request: PublishRequest, decoded: Decoded) -> None:
    """Compare a tarball with what the body says about it; what it does not say is not missed.

    Raises:
        Invalid: length, shasum or integrity differ.
    """
    length, shasum = request.attachment.length, request.dist.shasum
    if length is not None and length != decoded.size_bytes:
        raise _differs(request, "length", str(length), str(decoded.size_bytes))
    if shasum is not None and shasum.lower() != decoded.shasum:
        raise _differs(request, "shasum", shasum, decoded.shasum)
    for claim in (request.dist.integrity or "").split():
        digest = claim.partition("?")[0]
        algorithm = digest.partition("-")[0]
        if algorithm == "sha1":
            actual = "sha1-" + b64encode(bytes.fromhex(decoded.shasum)).decode()
        else:
            actual = decoded.integrity
        if digest != actual:
            raise _differs(request, "integrity", digest, actual)


def _check_name(body: NpmBody, url_name: str) -> None:
    for field, said in (("name", body.name), ("_id", body.id)):
        if said not in {None, url_name}:
            raise _unequal(field, str(said), url_name)


def _unequal(field: str, said: str, url_name: str) -> Invalid:
    return Invalid(
        f"the body's `{field}` is `{said[:214]}`, but the request is for `{url_name}`; they must "
        "be equal"
    )


def _one_version(body: NpmBody, url_name: str) -> tuple[str, BodyVersion]:
    if body.name is None:
        raise Invalid(f"the body must say the package's `name`, `{url_name}`")
    versions = body.versions or {}
    if len(versions) != 1:
        raise Invalid(
            f"a publish must hold exactly one version of `{url_name}`, not {len(versions)}"
        )
    ((key, described),) = versions.items()
    version = clean_npm_version(key)
    if described.name != url_name:
        raise _unequal(f"versions.{version}.name", str(described.name), url_name)
    if described.version is None or clean_npm_version(described.version) != version:
        raise Invalid(
            f"the version listed as `{version}` says it is `{str(described.version)[:150]}`; both "
            "must be equal"
        )
    return version, described


def _tags(body: NpmBody, version: str) -> tuple[str, ...]:
    tags = body.dist_tags or {}
    if not 0 < len(tags) <= MAX_TAGS:
        raise Invalid(f"a publish must set 1 to {MAX_TAGS} dist-tags, not {len(tags)}")
    for tag, target in tags.items():
        check_dist_tag(tag)
        if clean_npm_version(target) != version:
            raise Invalid(
                f"the dist-tag `{tag}` points to `{target}`; a publish of `{version}` can set "
                "tags to that version only, use `npm dist-tag add` for others"
            )
    return tuple(tags)


def _one_attachment(body: NpmBody, url_name: str) -> tuple[str, BodyAttachment]:
    attachments = dict(body.attachments or {})
    if any(filename.endswith(".sigstore") for filename in attachments):
        raise Invalid(
            "this registry does not store provenance bundles; publish without `--provenance`"
        )
    if len(attachments) != 1:
        raise Invalid(
            f"a publish of `{url_name}` must have exactly one attachment, its `.tgz`, not "
            f"{len(attachments)}"
        )
    ((filename, attachment),) = attachments.items()
    if not filename.endswith(".tgz"):
        raise Invalid(f"the attachment `{filename[:214]}` must be a `.tgz`")
    return filename, attachment


def _message(version: str, deprecated: str | bool | None) -> str:
    message = deprecated if isinstance(deprecated, str) else ""
    if len(message) > MAX_DEPRECATION_LENGTH:
        raise Invalid(
            f"the deprecation message of `{version[:150]}` is longer than "
            f"{MAX_DEPRECATION_LENGTH} characters; shorten it"
        )
    return message


def _differs(request: PublishRequest, what: str, said: str, actual: str) -> Invalid:
    return Invalid(
        f"the {what} of `{request.name}@{request.version}` is `{actual}`, but the body says "
        f"`{said[:200]}`; the upload was damaged, publish again"
    )
