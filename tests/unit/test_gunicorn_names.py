"""What we use of gunicorn without its promise is there, and is all listed in one module."""

import ast
import inspect
from pathlib import Path
from types import CodeType

import pytest
from gunicorn.asgi.parser import PythonProtocol
from gunicorn.asgi.protocol import ASGIProtocol, BodyReceiver
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers import gasgi

from packledger.server.http import connection, private_names, worker
from packledger.server.http.head import Limits
from packledger.server.http.parser import Parser

OURS = {
    connection: (ASGIProtocol, private_names.CONNECTION_METHODS + private_names.CONNECTION_STATE),
    worker: (gasgi.ASGIWorker, private_names.WORKER_METHODS),
}


async def application(scope: object, receive: object, send: object) -> None:
    """Not called here."""


@pytest.fixture(scope="module")
def gunicorns_own() -> ASGIProtocol:
    """A connection as gunicorn makes it, of a worker that does not run."""
    cfg = Config()
    made = gasgi.ASGIWorker(1, 1, [], None, 30, cfg, Logger(cfg))
    try:
        made.asgi = application
        return ASGIProtocol(made)
    finally:
        made.tmp.close()


@pytest.mark.parametrize("name", private_names.CONNECTION_METHODS)
def test_a_method_of_connections_is_there(name: str) -> None:
    assert callable(getattr(ASGIProtocol, name, None))


@pytest.mark.parametrize("name", private_names.CONNECTION_STATE)
def test_an_attribute_of_connections_is_there(gunicorns_own: ASGIProtocol, name: str) -> None:
    assert hasattr(gunicorns_own, name)


@pytest.mark.parametrize("name", private_names.BODY_STATE)
def test_an_attribute_of_bodies_is_there(gunicorns_own: ASGIProtocol, name: str) -> None:
    assert hasattr(BodyReceiver(None, gunicorns_own), name)


@pytest.mark.parametrize("name", private_names.WORKER_METHODS)
def test_a_method_of_workers_is_there(name: str) -> None:
    assert callable(getattr(gasgi.ASGIWorker, name, None))


def test_workers_make_connections_by_the_name_that_we_replace() -> None:
    def names(code: CodeType) -> set[str]:
        inner = [one for one in code.co_consts if isinstance(one, CodeType)]
        return {*code.co_names}.union(*map(names, inner))

    assert hasattr(gasgi, private_names.CONNECTION_CLASS)
    assert private_names.CONNECTION_CLASS in names(gasgi.ASGIWorker._serve.__code__)


def read_of(source: str, *holders: str) -> set[str]:
    """The attributes that a source reads of a parser, by whatever it calls one."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.Attribute(value=ast.Name(id=name))
                | ast.Attribute(value=ast.Attribute(attr=name))
            ) if name in holders:
                found.add(node.attr)
            case ast.Call(
                func=ast.Name(id="getattr"),
                args=[ast.Name(id=name) | ast.Attribute(attr=name), ast.Constant(value=read), *_],
            ) if name in holders:
                found.add(read)
    return found


NOT_OURS = {
    "_buffer": "of gunicorn's own parser, which is asked for by its class",
    "__class__": "of every object",
    "proxy_protocol_info": "None where there is none; we do not offer that protocol",
}


def test_gunicorn_asks_our_parser_for_what_it_has() -> None:
    from gunicorn.asgi import parser, protocol

    asked = read_of(inspect.getsource(protocol.ASGIProtocol), "_callback_parser", "parser")
    asked |= read_of(inspect.getsource(parser.CallbackRequest), "parser")
    assert asked - {*NOT_OURS} == {*private_names.PARSER}
    ours = Parser(lambda: None, lambda piece: None, lambda: None, Limits(1, 1, 1))
    for name in private_names.PARSER:
        assert hasattr(ours, name), name
        # Gunicorn knows its own parser by its class where that differs.
        assert hasattr(PythonProtocol(), name) or name == "asgi_headers", name


@pytest.mark.parametrize("module", OURS, ids=lambda one: one.__name__.rpartition(".")[2])
def test_no_other_private_name_is_used(module: object, gunicorns_own: ASGIProtocol) -> None:
    theirs, listed = OURS[module]
    nodes = [*ast.walk(ast.parse(inspect.getsource(module)))]
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    used |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    used |= {node.name for node in nodes if isinstance(node, ast.AsyncFunctionDef)}
    instance = gunicorns_own if theirs is ASGIProtocol else theirs
    private = {
        name
        for name in used
        if name.startswith("_") and name[:2] != "__" and hasattr(instance, name)
    }
    assert private == {*listed}


def test_no_other_module_of_ours_looks_inside_gunicorn() -> None:
    folder = Path(str(connection.__file__)).parent
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("gunicorn"):
                private = [one.name for one in node.names if one.name.startswith("_")]
                assert not private, path.name
