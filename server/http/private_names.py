"""The private names of gunicorn that our connections and workers rely on: all of them.

Gunicorn has no public way to bound a connection, or to answer within it. It is pinned; when that
changes, `tests/unit/test_gunicorn_names.py` says by name what an upgrade has taken away, and that
nothing is used which is not listed here. An embedding program's server needs none of this: it is
given an ASGI application.
"""

CONNECTION_METHODS = (
    "_arm_keepalive_timer",
    "_close_transport",
    "_keepalive_timeout",
    "_on_body",
    "_on_headers_complete",
    "_on_message_complete",
    "_pause_reading",
    "_safe_write",
    "_send_error_response",
    "_setup_callback_parser",
)
"""Of `gunicorn.asgi.protocol.ASGIProtocol`: called or replaced."""

CONNECTION_STATE = (
    "_awaiting_request",
    "_body_receiver",
    "_callback_parser",
    "_closed",
    "_finishing_calls",
    "_flow_control",
    "_keepalive",
    "_keepalive_handle",
    "_reading_paused",
    "_request_ready",
)
"""Of its instances; beside them `req_count`, `transport`, `worker` and `cfg`, which say no `_`."""

BODY_STATE = ("_complete",)
"""Of `gunicorn.asgi.protocol.BodyReceiver`; `buffered` and `expect_continue` beside it."""

PARSER = (
    "asgi_headers",
    "content_length",
    "feed",
    "headers",
    "http_version",
    "is_chunked",
    "is_complete",
    "method",
    "path",
    "remaining",
    "remaining_truncated",
    "reset",
    "should_keep_alive",
)
"""What a connection asks of its parser: what ours must have, and gunicorn's own has."""

WORKER_METHODS = ("_serve", "_shutdown")
"""Of `gunicorn.workers.gasgi.ASGIWorker`."""

CONNECTION_CLASS = "ASGIProtocol"
"""The global name in `gunicorn.workers.gasgi` by which `_serve` makes connections."""
