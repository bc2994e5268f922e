"""Every method and path that a registry answers, read from the application itself.

A new route is attacked, and must be closed to strangers, without being named in any test.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import falcon.inspect

from packledger.api.access.settings import AccessSettings
from packledger.api.http.routing import HeadRouter
from packledger.server.http.app import build_app
from packledger.server.settings.settings import Settings

NPM_MODULES = sorted((Path(__file__).parents[2] / "api/npm").glob("*.py"))
PACKAGE = "victim"
# What stands for a variable part of a path; PACKAGE for any other.
SAMPLES = {
    "moment": "9",
    "a": "vi",
    "b": "ct",
    "version": "1.0.0",
    "tag": "next",
    "rev": "2-0",
    "file": f"{PACKAGE}-1.0.0.tgz",
    "user": "org.couchdb.user:alice",
    "account": "alice",
    "token": "plk_x",
}
# Where the paths begin that a function takes apart by `path.rest`; elsewhere it is /npm/-/.
_ABOUT_PACKAGE = {"_about_package": ["npm", PACKAGE]}
_ABOUT_NAMED = ["npm", "-", "package", PACKAGE]


# What begins like this is answered by a sink: all of npm, or what of it can be read.
_SINKS = {"/npm": "", "/as": "/as-of/9"}
NOTHING = "/"
"""The sink of whatever nothing else answers."""

falcon.inspect.register_router(HeadRouter)(falcon.inspect.inspect_compiled_router)


class Route(NamedTuple):
    method: str
    path: str


def routes_of(data: Path) -> list[Route]:
    """Everything that the application on a data directory answers."""
    # A private registry's application is Falcon's own, without anything before it.
    app: Any = build_app(
        Settings(
            data=str(data), public_url="http://127.0.0.1:1", access=AccessSettings(private=True)
        )
    )
    found = {*_falcon_routes(app), *_npm_routes()}
    for sink in falcon.inspect.inspect_sinks(app):
        if sink.prefix == NOTHING:
            continue
        (view,) = {view for start, view in _SINKS.items() if sink.prefix.startswith(start)}
        found |= {Route("GET", view + path) for method, path in _npm_routes() if method == "GET"}
    return sorted(found)


def _falcon_routes(app: Any) -> Iterator[Route]:
    for route in falcon.inspect.inspect_routes(app):
        parts = [_sample(part) for part in route.path.split("/")]
        for method in route.methods:
            if not method.internal:
                yield Route(method.method, "/".join(parts))


def _sample(part: str) -> str:
    if not part.startswith("{"):
        return part
    name = part.strip("{}").partition(":")[0]
    return SAMPLES.get(name, PACKAGE)


def _npm_routes() -> Iterator[Route]:
    """The cases of the `match method, …` statements by which one sink answers all below /npm."""
    for module in NPM_MODULES:
        tree = ast.parse(module.read_text())
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            named = _ABOUT_PACKAGE.get(function.name, _ABOUT_NAMED)
            for node in ast.walk(function):
                if isinstance(node, ast.Match) and "method" in ast.unparse(node.subject):
                    rest = "path.rest" in ast.unparse(node.subject)
                    yield from _cases(node, named if rest else ["npm", "-"])


def _cases(match: ast.Match, begin: list[str]) -> Iterator[Route]:
    for case in match.cases:
        if isinstance(case.pattern, ast.MatchSequence):
            method, rest = case.pattern.patterns
            assert isinstance(rest, ast.MatchSequence), ast.unparse(case.pattern)
            parts = [_part(one) for one in rest.patterns]
            yield Route(_part(method), "/" + "/".join([*begin, *parts]))


def _part(pattern: ast.pattern) -> str:
    match pattern:
        case ast.MatchValue(value=ast.Constant(value=str(text))):
            return text
        case ast.MatchAs(pattern=None, name=name) | ast.MatchStar(name=name):
            return SAMPLES.get(name or "", PACKAGE)
        case _:
            raise AssertionError(f"unknown kind of case: {ast.unparse(pattern)}")
