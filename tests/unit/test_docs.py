"""The documentation names only what exists: links, make targets, commands, dotted names, settings, reasons, counters.
Its pages begin with a summary, its concepts have a picture, and the words people search for are in its index.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
from pathlib import Path

import click
import pytest

from coherd.cli.app import coherd
from coherd.contract.reasons import REASONS, reason_name
from coherd.errors import BY_REASON
from coherd_server.core.counters import COUNTERS
from coherd_server.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
    if "node_modules" not in path.parts
)
SUMMARISED = [
    page for folder in ("use", "operate", "internals") for page in sorted((ROOT / "docs" / folder).glob("*.md"))
]
CONCEPTS = [
    "internals/a-call.md",
    "internals/architecture.md",
    "internals/log.md",
    "internals/reliability.md",
    "internals/storage.md",
    "operate/metrics.md",
    "operate/proxies.md",
    "operate/security.md",
    "operate/server.md",
    "use/catalog.md",
    "use/client.md",
    "use/coherence.md",
    "use/keys.md",
    "use/loading.md",
    "use/near-cache.md",
    "use/ttl.md",
    "use/wire.md",
]
SEARCHED = [
    "cache-aside",
    "stampede",
    "dogpile",
    "thundering herd",
    "single-flight",
    "request coalescing",
    "stale-while-revalidate",
    "early refresh",
    "XFetch",
    "negative caching",
    "tag invalidation",
    "fencing token",
    "near cache",
    "L1",
    "client-side caching",
]
_SUMMARY = re.compile(r"# .+\n\n> \*\*TL;DR\*\* .+\n((?:> .+\n)*)\n")
_PICTURE = re.compile(r"(flowchart (TB|TD|LR|RL|BT)|sequenceDiagram|stateDiagram-v2)\n")
_CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:`|^(?:\$ )?)coherd ([a-z][^`\n]*)", re.MULTILINE)
_DOTTED = re.compile(r"`((?:coherd|coherd_server)(?:\.\w+)+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_MAKE = re.compile(r"`make ([a-z][a-z-]*)")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _prose(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", _CODE.sub("", text))


def _anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _section(text: str, anchor: str) -> str:
    """The heading with this anchor and what stands below it, up to the next heading; code and pictures left out."""
    parts = re.split(r"^(?=#+ )", _CODE.sub("", text), flags=re.MULTILINE)
    return next(part for part in parts if _anchors(part) == {anchor})


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_resolves(page: Path) -> None:
    for target in _LINK.findall(_prose(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{_name(page)} links to {target}, which is not there"
        if anchor:
            assert anchor in _anchors(found.read_text("utf-8")), f"{_name(page)} links to {target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_make_target_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    named = set(_MAKE.findall(page.read_text("utf-8")))
    assert named <= targets, f"{_name(page)} names targets that are not there: {sorted(named - targets)}"


def _command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words begin with, and the words behind its name."""
    command: click.Command = coherd
    while isinstance(command, click.Group) and words:
        further = command.get_command(click.Context(command), words[0])
        if further is None:
            break
        command, words = further, words[1:]
    return command, words


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_and_its_options_exist(page: Path) -> None:
    # What another program writes or says begins with "coherd" as well: its version, and the server's last line.
    lines = [line for line in _COMMAND.findall(page.read_text("utf-8")) if not re.match(r"(is|stopped)\b", line)]
    for line in lines:
        command, rest = _command(re.split(r"\s*(?:&&|\||#|2?>)\s*", line)[0].split())
        assert command is not coherd, f"{_name(page)} names `coherd {line}`: no such command"
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        named = {word.split("=")[0] for word in rest if word.startswith("--")}
        assert named <= options, f"{_name(page)} names `coherd {line}`: no such option"


def _is_python(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        try:
            functools.reduce(getattr, parts[length:], module)
        except AttributeError:
            return False
        return True
    return False


def _is_declared(name: str) -> bool:
    """Whether a message, service, enum or option of this name stands in a proto of its package."""
    package, _, last = name.rpartition(".")
    element = re.compile(rf"^(message|service|enum) {last}\b|^  \S+ {last} = \d+;", re.MULTILINE)
    protos = (path.read_text("utf-8") for path in (ROOT / "protos").rglob("*.proto"))
    return any(f"\npackage {package};" in text and element.search(text) for text in protos)


def _is_quoted(name: str) -> bool:
    """Whether a logger, or a group of entry points, is called so."""
    sources = [ROOT / "pyproject.toml", *(ROOT / "client").rglob("*.py"), *(ROOT / "server").rglob("*.py")]
    return any(f'"{name}"' in source.read_text("utf-8") for source in sources)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_dotted_name_exists(page: Path) -> None:
    named = dict.fromkeys(_DOTTED.findall(page.read_text("utf-8")))
    unknown = [name for name in named if not (_is_python(name) or _is_declared(name) or _is_quoted(name))]
    assert not unknown, f"{_name(page)} names {', '.join(unknown)}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_python_example_compiles(page: Path) -> None:
    for language, code in _CODE.findall(page.read_text("utf-8")):
        if language == "python":
            # Some examples are the inside of a coroutine.
            compile(code, _name(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_code_block_is_closed(page: Path) -> None:
    fences = [line for line in page.read_text("utf-8").splitlines() if line.startswith("```")]
    assert len(fences) % 2 == 0, f"{_name(page)} has a code block that is not closed"


def test_every_page_is_on_the_map() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    linked = {(ROOT / "docs" / target.partition("#")[0]).resolve() for target in _LINK.findall(index)}
    pages = {path.resolve() for path in (ROOT / "docs").rglob("*.md")} - {(ROOT / "docs" / "index.md").resolve()}
    assert pages <= linked, f"not on the map: {sorted(path.name for path in pages - linked)}"


@pytest.mark.parametrize("page", SUMMARISED, ids=_name)
def test_every_page_begins_with_a_summary(page: Path) -> None:
    summary = _SUMMARY.match(page.read_text("utf-8"))
    assert summary is not None, f"{_name(page)}: the first block below the title is no `> **TL;DR** …`"
    assert len(summary[1].splitlines()) <= 5, f"{_name(page)}: the summary has more than six lines"


@pytest.mark.parametrize("page", CONCEPTS)
def test_every_concept_has_a_picture(page: str) -> None:
    pictures = [
        code for language, code in _CODE.findall((ROOT / "docs" / page).read_text("utf-8")) if language == "mermaid"
    ]
    assert pictures, f"docs/{page} has no Mermaid block"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_picture_is_of_a_known_kind(page: Path) -> None:
    for language, code in _CODE.findall(page.read_text("utf-8")):
        if language == "mermaid":
            assert _PICTURE.match(code), f"{_name(page)} has a picture that begins with {code.splitlines()[0]!r}"
            unquoted = re.sub(r'"[^"\n]*"', "", code)
            assert unquoted.count('"') == 0, f"{_name(page)} has a picture with a quote that is not closed"


@pytest.mark.parametrize("word", SEARCHED)
def test_the_words_people_search_for_lead_to_the_section_that_does_it(word: str) -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    rows = [
        line.split("|") for line in _section(index, "words-people-search-for").splitlines() if line.startswith("| ")
    ]
    links = [
        target for _, words, here, _ in rows if word in words.strip().split(", ") for target in _LINK.findall(here)
    ]
    assert links, f"docs/index.md has no row for {word!r}"
    sections = []
    for target in links:
        name, _, anchor = target.partition("#")
        text = (ROOT / "docs" / name).read_text("utf-8")
        assert anchor in _anchors(text), f"docs/index.md links {word!r} to {target}, which is not there"
        sections.append(_section(text, anchor))
    assert any(word.lower() in " ".join(section.lower().split()) for section in sections), (
        f"no section that docs/index.md links for {word!r} uses the word"
    )


def test_every_target_is_described() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    described = set(_MAKE.findall((ROOT / "docs" / "internals" / "contributing.md").read_text("utf-8")))
    assert set(re.findall(r"^([a-z][a-z-]*):.*##", makefile, re.MULTILINE)) <= described


def test_every_setting_is_listed() -> None:
    text = (ROOT / "docs" / "operate" / "server.md").read_text("utf-8")
    table = text[text.index("| setting |") :].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(Settings.model_fields)


def test_every_reason_is_listed_as_it_is() -> None:
    text = (ROOT / "docs" / "use" / "errors.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+)$", text, re.MULTILINE))
    assert rows.keys() == {reason_name(reason) for reason in REASONS}
    for reason, rule in REASONS.items():
        code, retry, kind = (cell.strip(" `") for cell in rows[reason_name(reason)].split("|")[:3])
        wait = f", after {rule.retry_after_ms} ms" if rule.retry_after_ms else ""
        assert (code, retry, kind) == (rule.code, rule.retry.value + wait, BY_REASON[reason].__name__)


def test_every_counter_is_listed() -> None:
    text = (ROOT / "docs" / "operate" / "metrics.md").read_text("utf-8")
    cells = "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert set(COUNTERS) <= set(re.findall(r"`(\w+)`", cells))


def test_the_worked_example_is_what_the_code_prints(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = _CODE.findall((ROOT / "docs" / "internals" / "storage.md").read_text("utf-8"))
    shown = next(code for language, code in blocks if language == "text" and code.startswith("0000"))
    exec(next(code for language, code in blocks if language == "python" and "stamp_block" in code), {})
    assert capsys.readouterr().out == shown
