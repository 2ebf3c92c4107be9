"""Text on its way to a terminal."""

from __future__ import annotations

from coherd.cli.output import plain


def test_what_is_not_printed_is_an_escape() -> None:
    assert plain("a\x1b\n\udcffé") == "a\\x1b\\n\\udcffé"


def test_an_endless_line_keeps_its_end() -> None:
    hint = "; write one of these (see: coherd keys explain KEY) [RESOURCE_UNKNOWN]"
    line = "unknown resource; it has: " + ", ".join(f"resource_{number}" for number in range(200)) + hint
    shown = plain(line)
    assert shown.startswith("unknown resource; it has: resource_0, ")
    assert shown.endswith(hint)
    assert len(shown) == 600
    assert plain("x" * 600) == "x" * 600
