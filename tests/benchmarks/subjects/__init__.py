"""What is compared, by name; `make bench ARGS="--only NAME"` measures one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Row
from tests.benchmarks.subjects.many import get_many, set_many
from tests.benchmarks.subjects.memory import memory
from tests.benchmarks.subjects.single import get, miss, set_

Subject = Callable[[Plan], Awaitable[list[Row]]]

SUBJECTS: Final[dict[str, Subject]] = {
    "get": get,
    "set": set_,
    "miss": miss,
    "get_many": get_many,
    "set_many": set_many,
    "memory": memory,
}
