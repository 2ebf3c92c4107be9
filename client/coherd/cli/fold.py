"""Key patterns in columns that are narrower than they are. Pure."""

from __future__ import annotations


def fold_pattern(pattern: str, width: int) -> str:
    """A key pattern in lines of at most this many characters, cut behind colons where that suffices."""
    lines = [""]
    for part in pattern.replace(":", ":\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
