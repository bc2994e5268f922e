"""A setting that cannot be used; each refusal names the setting and shows one that is right."""

from urllib.parse import urlsplit

from packledger.domain.section import is_plain_url


class BadSettings(ValueError):
    """A sentence about a setting that cannot be used. place: where it was set, if that is known."""

    def __init__(self, sentence: str, place: str = "") -> None:
        super().__init__(sentence)
        self.place = place

    def told(self) -> str:
        """Return the sentence behind the place, for whoever looks for the setting."""
        return f"{self.place}: {self}" if self.place else str(self)


def check_npm_root(npm_root: str, public_url: str) -> None:
    """Refuse an `npm_root` that is no place of its own."""
    if not npm_root:
        return
    if not is_plain_url(npm_root) or urlsplit(npm_root).path:
        raise BadSettings(
            "`http.npm_root` must be http:// or https://, a host, and maybe a port, without a "
            f"path, not `{npm_root}`"
        )
    if urlsplit(npm_root).netloc.lower() == urlsplit(public_url).netloc.lower():
        raise BadSettings(
            f"`http.npm_root` needs a host or a port of its own: at `{public_url}` are cargo and "
            "the pages; add a listener or a name"
        )
