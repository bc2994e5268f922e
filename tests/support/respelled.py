"""Other spellings of a path: what a proxy, a router or a file system may take for the same."""

from hypothesis import strategies as st

PLAIN = (
    "/",
    "/npm/",
    "/npm/demo",
    "/npm/@acme/demo",
    "/npm/@acme%2fdemo",
    "/npm/%40acme%2Fdemo/-/demo-1.0.0.tgz",
    "/npm/-/package/@acme%2fdemo/dist-tags",
    "/npm/-/user/org.couchdb.user:alice/-rev/2-0",
    "/npm/-/user/token/plk_x",
    "/npm/-/user/token/a%2fb%2Bc==",
    "/npm/-/npm/v1/tokens/token/a%2fb",
    "/cargo/index/3/a/abc",
    "/cargo/crates/demo/1.0.0%2Bbuild/download",
    "/cargo/crates/demo/1.0.0+build/download",
    "/as-of/2026-11-21T00:00:00.000Z/npm/@acme%2fdemo",
    "/.well-known/x",
    "/crates/%C3%A9",
    "/npm/...",
)
"""What clients send, or may."""
BEFORE = (
    "", "/", "//", "/%2f", "/%2F", "/.", "/%2e", "/x/..", "/x/%2e%2e", "/%2e%2e", "/\\", "/%5c",
    "\\", "%2f", "/%00", "/%0a", "/;", "/%252f", "/%25%32%66", "/@x%2f..", "/as-of/9",
    "/as-of/9/", "//as-of/9", "/static/..", "/static", "/health/..", "/health", "/npm/-/ping/..",
    "/npm/-/ping", "/npm/-/ping%2f..", "/npm/-/user/token/x%2f..%2f..%2f..%2f..", "/internal",
    "/npm/-/user/org.couchdb.user:a/../../..", "/login/..", "/cargo/me/..", "/cargo/me", "@x", "x",
    "http://registry", "http://registry/", "HTTP://REGISTRY/%2f", "https://a@registry",
    "//registry", "http:", "file://",
)  # fmt: skip
SLASHES = (
    "//", "///", "%2f", "%2F", "/%2f", "/./", "/%2e/", "/x/../", "/x/%2e%2e/", "\\", "%5c", "/%5c",
    "%252f", "/@x%2f../", "/%00/", "/;/", ";/", "/%20", "%c0%af", "%ef%bc%8f",
)  # fmt: skip
AFTER = (
    "", "/", "//", "/.", "/..", "/%2e", "?", "?x=1", "?/../", "#", "#x", "%23", "%3f", "%00", "%20",
    "%09", ".gz", ".full.json", ".abbreviated.json", ";", ";x=1", "/../x", "%2f", "\\", "/health",
    "%0d%0aX:%20y",
)  # fmt: skip


@st.composite
def respelled(draw: st.DrawFn, path: str) -> str:
    """The path with something before it, behind it, for its slashes and for its letters."""
    parts = path.split("/")
    text = parts[0]
    for part in parts[1:]:
        text += draw(st.just("/") | st.just("/") | st.sampled_from(SLASHES)) + part
    if draw(st.integers(0, 3)) == 0 and text:
        at = draw(st.integers(0, len(text) - 1))
        text = text[:at] + f"%{ord(text[at]):02x}" + text[at + 1 :]
    if draw(st.integers(0, 3)) == 0:
        text = text.upper()
    return draw(st.sampled_from(BEFORE)) + text + draw(st.sampled_from(AFTER))
