"""Operations written down by hand, for tests of the checks."""

from __future__ import annotations

from typing import Any

from coherence.history import Operation


def op(path: str, start: float, end: float | None, outcome: str = "done", **fields: Any) -> Operation:
    """An operation of process ``a``, unless the fields name another, with times in milliseconds."""
    end_ns = None if end is None else int(end * 1e6)
    fields.setdefault("id", f"{path}@{start}")
    fields.setdefault("process", "a")
    return Operation(path=path, start_ns=int(start * 1e6), end_ns=end_ns, outcome=outcome, **fields)
