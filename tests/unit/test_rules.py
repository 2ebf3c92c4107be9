"""The rules (docs/internals/rules.md) and their citations: each name exists, each rule is cited and goes red."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "internals" / "rules.md"
CODE: Final = ("client/", "server/", "protos/")
_CITED: Final = re.compile(r"(?<![\w\]\[])\[([a-z]{2,}(?:-[a-z]+)+)\](?![\w\[])")
"""A name in square brackets; in a page the text of a link."""
_LINKED: Final = re.compile(r"rules\.md#([\w-]+)")
_LABEL: Final = re.compile(r"(?<![\w$.-])P\d\b(?![-.\d])")
_RED: Final = re.compile(r"^\*Red:\*(.+?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)
_ELSEWHERE: Final = re.compile(r"\bDE" r"SIGN\b|\bPIT" r"FALLS\b|\bHOU" r"SE\b|(?i:\b(?:rule|section)s?[\s#/-]+\d)")
"""Other documents, and rules by number."""
OF_OTHERS: Final = ("LICENSE",)
"""Has sections of its own."""


class Rule(NamedTuple):
    text: str
    label: str
    """Of a promise: ``P1``; else empty."""
    red: frozenset[str]
    """What fails without it: tests, mutants, fields of the searches."""


@cache
def rules() -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for part in re.split(r"^(?=##+ )", PAGE.read_text("utf-8"), flags=re.MULTILINE):
        heading, _, text = part.partition("\n")
        if heading.startswith("### "):
            label = re.match(r"\s*\*\*(P\d)\.\*\*", text)
            red = {name for names in _RED.findall(text) for name in re.findall(r"`(\w+)`", names)}
            name = heading.removeprefix("### ")
            assert name not in found, f"two rules are called {name}"
            found[name] = Rule(text, label[1] if label else "", frozenset(red))
    return found


@cache
def texts() -> dict[str, str]:
    """All files of the repository that are text, generated ones included, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, str] = {}
    for name in filter(None, listed.stdout.split("\0")):
        try:
            found[name] = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
    return found


def cited(text: str) -> Iterator[str]:
    """The names that a text cites."""
    yield from _CITED.findall(text)
    yield from _LINKED.findall(text)


@cache
def cited_below(*folders: str) -> frozenset[str]:
    """The names and labels that files below these folders cite."""
    below = [text for path, text in texts().items() if path.startswith(folders)]
    return frozenset(name for text in below for name in (*cited(text), *_LABEL.findall(text)))


def test_there_are_rules() -> None:
    assert [rule.label for rule in rules().values() if rule.label] == ["P1", "P2", "P3", "P4", "P5", "P6"]
    assert len(rules()) > 40


@pytest.mark.parametrize("name", rules())
def test_each_rule_is_whole(name: str) -> None:
    rule = rules()[name]
    assert re.fullmatch(r"[a-z]{2,}(-[a-z]+)+", name), "cannot be cited"
    assert "*Without it:*" in rule.text
    assert rule.red, "nothing goes red without it"


@pytest.mark.parametrize("name", rules())
def test_each_rule_is_cited_by_code_and_by_tests(name: str) -> None:
    names = {name, rules()[name].label}
    assert names & cited_below(*CODE), "no code cites it"
    assert names & cited_below("tests/"), "no test cites it"


def test_each_cited_name_is_a_rule() -> None:
    unknown = {
        f"{path}: {name}"
        for path, text in texts().items()
        if not path.endswith(".toml") and path != "tests/unit/test_rules.py"
        for name in cited(text)
        if name not in rules()
    }
    assert not unknown, f"not in docs/internals/rules.md: {sorted(unknown)}"


def test_each_promise_is_one_of_six() -> None:
    labels = {rule.label for rule in rules().values()}
    unknown = {
        f"{path}: {label}"
        for path, text in texts().items()
        if path.endswith((".py", ".proto", ".lua", ".md"))
        for label in _LABEL.findall(text)
        if label not in labels
    }
    assert not unknown, f"no such promise: {sorted(unknown)}"


@cache
def made_in_tests() -> frozenset[str]:
    """Names of functions, and of fields that are true or false, in the tests: wherever their files are."""
    made: set[str] = set()
    for path, text in texts().items():
        if path.startswith("tests/") and path.endswith(".py"):
            made.update(re.findall(r"^ *(?:async )?def (\w+)\(", text, re.MULTILINE))
            made.update(re.findall(r"^    (\w+): bool = True$", text, re.MULTILINE))
    return frozenset(made)


@pytest.mark.parametrize("name", rules())
def test_what_goes_red_is_there(name: str) -> None:
    gone = rules()[name].red - made_in_tests()
    assert not gone, f"neither a test, a mutant nor a field of a search: {sorted(gone)}"


def test_no_other_document_is_cited_and_no_rule_by_number() -> None:
    found = {
        f"{path}: {match[0]}"
        for path, text in texts().items()
        if path not in OF_OTHERS
        for match in _ELSEWHERE.finditer(text)
    }
    assert not found, sorted(found)
