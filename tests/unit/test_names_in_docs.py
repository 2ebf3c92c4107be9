"""Pages about the inside name files and functions that exist."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = (ROOT / "client", ROOT / "server", ROOT)
"""Where the first part of a path may stand."""
PAGES: Final = sorted((ROOT / "docs").rglob("*.md"))
_FUNCTION: Final = re.compile(r"`([\w./-]+\.py):([A-Za-z_][\w.]*)`")
_FILE: Final = re.compile(r"`([\w./-]+\.(?:py|lua))(?::[\w.]+)?`")
_TREE: Final = re.compile(r"```text\n(protos/.*?)```", re.DOTALL)
_TREE_ROW: Final = re.compile(r"( *)(\S+(?:, \S+)*)(?: {2,}(.*))?")
_IN_TREE: Final = re.compile(r"(?<![\w/*])(?:\w+/)*(?:\w+\.(?:py|lua)\b|\w+/(?!\S))")
OF_USERS: Final = ("docs/use/",)
"""Name files of the reader's own, too."""


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _found(path: str) -> Path | None:
    return next((source / path for source in SOURCES if (source / path).is_file()), None)


@cache
def _defined(path: Path) -> frozenset[str]:
    """Functions, classes and methods of a module, as ``Class.method``."""
    names: set[str] = set()

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                walk(node.body, f"{prefix}{node.name}.")

    walk(ast.parse(path.read_text("utf-8")).body, "")
    return frozenset(names)


@cache
def _files() -> tuple[str, ...]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return tuple(f"/{name}" for name in listed.stdout.splitlines() if (ROOT / name).is_file())


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_each_function_exists(page: Path) -> None:
    named = _FUNCTION.findall(page.read_text("utf-8"))
    unknown = [
        f"{path}:{function}"
        for path, function in named
        if (found := _found(path)) is None or function not in _defined(found)
    ]
    assert not unknown


@pytest.mark.parametrize("page", [page for page in PAGES if not _name(page).startswith(OF_USERS)], ids=_name)
def test_each_file_exists(page: Path) -> None:
    named = dict.fromkeys(_FILE.findall(page.read_text("utf-8")))
    unknown = [path for path in named if not any(name.endswith(f"/{path}") for name in _files())]
    assert not unknown


def missing_in_tree(tree: str) -> list[str]:
    """What a block of folders and files names and is not there: a row's text names what lies in the row's folder."""
    top = Path()
    missing: list[str] = []
    for line in tree.splitlines():
        row = _TREE_ROW.fullmatch(line)
        assert row is not None, line
        indent, names, text = row[1], row[2].split(", "), row[3] or ""
        if not indent:
            top = ROOT / names[0]
        above = top if indent else ROOT
        missing += [name for name in names if not any(above.glob(name))]
        folder = above / names[0] if names[0].endswith("/") else top
        for name in _IN_TREE.findall(text):
            path = top / name if indent and name.startswith(names[0]) else folder / name
            if not path.exists():
                missing.append(path.relative_to(ROOT).as_posix())
    return missing


def test_each_name_of_the_tree_is_there() -> None:
    found = _TREE.findall((ROOT / "docs" / "internals" / "architecture.md").read_text("utf-8"))
    assert len(found) == 1
    assert missing_in_tree(found[0]) == []


def test_a_name_of_the_tree_that_is_elsewhere_is_found() -> None:
    tree = "server/coherd_server/      here\n    core/near/             log.py is the port\n    nowhere.py\n"
    assert missing_in_tree(tree) == ["server/coherd_server/core/near/log.py", "nowhere.py"]


def test_each_event_worth_an_alarm_is_logged() -> None:
    page = (ROOT / "docs" / "operate" / "server.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page.partition("| event | means |")[2].partition("\n\n")[0], re.MULTILINE)
    events = [event for row in rows for event in re.findall(r"`([^`]{6,}[^`]* [^`]*)`", row)]
    assert len(events) > 10
    logged = {
        node.value
        for path in (ROOT / "server" / "coherd_server").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert [event for event in events if not any(text.startswith(event) for text in logged)] == []


def test_the_way_of_a_call_is_told_by_functions() -> None:
    text = (ROOT / "docs" / "internals" / "a-call.md").read_text("utf-8")
    assert len(set(_FUNCTION.findall(text))) > 60
    assert text.count("```mermaid\nsequenceDiagram") == 3
