"""The blocking client and familiar names, generated from the asynchronous ones, so that the two cannot drift.

A verb's blocking twin has the same signature and docstring and hands the work over; everything else is the same source
without ``async`` and ``await``. Where the words must differ, `WORDS` says how, and a phrase that is no longer there is
an error.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from coherd.codegen.blocking_words import WORDS
from coherd.codegen.ruff import tidied
from coherd.codegen.without_async import without_async

_VERBS: Final = ("reading", "loading", "writing", "changing", "looking")
_FACADES: Final = {f"verbs/{name}.py": f"sync/verbs/{name}.py" for name in _VERBS} | {"client.py": "sync/client.py"}
"""Blocking twin of each module of verbs."""
_TWINS: Final = {
    "_loading/cached.py": "sync/cached.py",
    "compat/__init__.py": "compat/sync/__init__.py",
    "compat/default_client.py": "compat/sync/default_client.py",
    "compat/redis_service.py": "compat/sync/redis_service.py",
    "compat/unified.py": "compat/sync/unified.py",
}
"""Modules that are the same without ``async``."""
_NEAR: Final = "if (kept := self._near_hit(key)) is not None:\n    return values.decoded_near(key, kept)\n"
_BODIES: Final = {
    "get": _NEAR + "return self._wait({call})",
    "get_many": "return self._many(keys, lambda some: self._wait({call}))",
    "get_or_load": _NEAR + "return self._load(loader, options, lambda load: {call})",
    "get_or_load_many": "return self._many(keys, lambda some: self._load(loader, options, lambda load: {call}))",
    "__init__": "super().__init__(AsyncClient({arguments}))",
    "connect": "return cls._over(AsyncClient.connect({arguments}))",
    "__exit__": "self.close()",
    "close": "self._close()",
}
"""Bodies of the verbs that are more than a hand-over."""
_RENAMED: Final = {
    "get_many": {"keys": "some"},
    "get_or_load": {"loader": "load"},
    "get_or_load_many": {"keys": "some", "loader": "load"},
}
"""What such a body calls the verb with instead of its own parameters."""
_KEPT: Final = ("cached", "__enter__")
"""Methods whose body is the same without ``async``."""


class TwinRefused(Exception):
    """A module has no twin: a phrase of `WORDS` is not in it."""


def blocking(root: Path) -> dict[str, bytes]:
    """Contents of the blocking modules, by path relative to the repository.

    Raises:
        TwinRefused: a phrase that must differ is not there.
        CalledProcessError: ruff refuses the outcome.
    """
    package = root / "client" / "coherd"
    made = {twin: _worded(name, _facade(name, (package / name).read_text("utf-8"))) for name, twin in _FACADES.items()}
    made |= {twin: _worded(name, without_async((package / name).read_text("utf-8"))) for name, twin in _TWINS.items()}
    sources = {twin: name for name, twin in (_FACADES | _TWINS).items()}
    return {f"client/coherd/{twin}": tidied(_announced(text, sources[twin])).encode() for twin, text in made.items()}


def _announced(text: str, source: str) -> str:
    return f"# Generated from coherd/{source} by `make gen`. Do not edit.\n{text}"


def _worded(name: str, text: str) -> str:
    for old, new in WORDS.get(name, ()):
        if old not in text:
            raise TwinRefused(f"coherd/{name} no longer says: {old}")
        text = text.replace(old, new)
    return text


def _facade(name: str, source: str) -> str:
    """The blocking twin of a module of verbs."""
    tree = ast.parse(source)
    module = "coherd." + name.removesuffix(".py").replace("/", ".")
    imports, parts = [], []
    for node in tree.body:
        segment = ast.get_source_segment(source, node) or ""
        match node:
            case ast.ClassDef() if _is_protocol(node):
                twin = without_async(segment)
                if twin == segment:
                    imports.append(f"from {module} import {node.name}")
                else:
                    parts.append(twin)
            case ast.ClassDef():
                parts.append(_class(source, node))
            case ast.Import() | ast.ImportFrom():
                imports.append(_IMPORTS.get(segment, segment))
            case ast.Assign():  # type variables
                parts.append(segment)
    return "\n".join([f'"""{ast.get_docstring(tree)}"""', *imports, *parts])


_IMPORTS: Final = {
    "from coherd.verbs.base import Verbs": "from coherd.sync.blocking import Blocking",
    "from coherd.verbs.base import NO_READ, Verbs": "from coherd.sync.blocking import Blocking",
    "from coherd.verbs.base import NO_WRITE, Verbs": "from coherd.sync.blocking import Blocking",
    "from coherd._loading.cached import Cached, Settings": "from coherd.sync.cached import Cached, Settings",
    **{
        f"from coherd.verbs.{name} import {name.capitalize()}": (
            f"from coherd.sync.verbs.{name} import {name.capitalize()}"
        )
        for name in _VERBS
    },
    "from coherd._rpc.unary import UnaryTransport": (
        "from coherd.client import DEFAULT_TIMEOUT_MS\nfrom coherd.client import CacheClient as AsyncClient"
    ),
}
"""What a twin imports instead."""


def _is_protocol(node: ast.ClassDef) -> bool:
    return any("Protocol" in ast.dump(base) for base in node.bases)


def _from_decorators(source: str, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(source.splitlines()[first - 1 : node.end_lineno])


def _class(source: str, node: ast.ClassDef) -> str:
    """A class of verbs: those that are public, each handing over."""
    head = "\n".join(source.splitlines()[node.lineno - 1 : node.body[0].end_lineno]).replace("(Verbs)", "(Blocking)")
    methods = [
        _method(source, method)
        for method in node.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        and (not method.name.startswith("_") or method.name.startswith("__"))
    ]
    return "\n".join([head, *methods])


def _method(source: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    text = without_async(_from_decorators(source, node))
    name = without_async(node.name)
    overload = any(isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list)
    if overload or name in _KEPT:
        return text
    documented = ast.get_docstring(node) is not None
    last = (node.body[0].end_lineno if documented else node.body[0].lineno - 1) or 0
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    head = without_async("\n".join(source.splitlines()[first - 1 : last]))
    arguments = _arguments(node, _RENAMED.get(name, {}))
    body = _BODIES.get(name, "return self._wait({call})")
    body = body.format(call=f"self._cache.{name}({arguments})", arguments=arguments)
    return "\n".join([head, *(" " * 8 + line for line in body.splitlines())])


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef, renamed: Mapping[str, str]) -> str:
    """The arguments that pass every parameter on."""
    given = node.args
    passed = [renamed.get(each.arg, each.arg) for each in (given.posonlyargs + given.args)[1:]]
    passed += [f"*{given.vararg.arg}"] if given.vararg else []
    passed += [f"{each.arg}={each.arg}" for each in given.kwonlyargs]
    passed += [f"**{given.kwarg.arg}"] if given.kwarg else []
    return ", ".join(passed)
