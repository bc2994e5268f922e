"""What connections ask an application before gunicorn does, without a connection."""

from typing import Any


def is_hit(app: Any, target: bytes, *headers: tuple[bytes, bytes]) -> bool:
    """Whether `GET target` is answered from memory; else Falcon has to answer."""
    asked = app.asked(list(headers))
    return asked is not None and app.answer(app.place(target), asked) is not None
