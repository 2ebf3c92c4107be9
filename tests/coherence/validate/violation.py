"""One broken promise."""

from __future__ import annotations

from typing import NamedTuple

from coherence.history import Operation


class Violation(NamedTuple):
    """What a check found."""

    promise: str
    text: str
    operations: tuple[Operation, ...]
    """The evidence; the last one is where it showed."""

    def __str__(self) -> str:
        start_ns = min(one.start_ns for one in self.operations)
        lines = [f"{self.promise}: {self.text}"]
        for one in sorted(self.operations, key=lambda one: one.start_ns):
            begin_ms = (one.start_ns - start_ns) / 1e6
            end = "never" if one.end_ns is None else f"{(one.end_ns - start_ns) / 1e6:.2f}"
            value = "" if one.value is None else f" v{one.value.version} of {one.value.nonce}"
            what, where = one.key or " ".join(one.tags), " near" if one.near else ""
            lines.append(f"  {begin_ms:10.2f} .. {end:>8} ms {one.id} {one.path}{where} {what} -> {one.outcome}{value}")
        return "\n".join(lines)
