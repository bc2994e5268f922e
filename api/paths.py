"""What a path is about, whichever view of the registry it is in."""


def without_moment(path: str) -> str:
    """Return the path in the present view: `/as-of/MOMENT/cargo/…` is about `/cargo/…`."""
    if not path.startswith("/as-of/"):
        return path
    return "/" + path.removeprefix("/as-of/").partition("/")[2]
