"""What is compared, by name; `make bench ARGS="--only NAME"` measures one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Row
from tests.benchmarks.subjects.alone import alone
from tests.benchmarks.subjects.invalidate import invalidate
from tests.benchmarks.subjects.lease import lease
from tests.benchmarks.subjects.many import get_many, set_many
from tests.benchmarks.subjects.memory import memory
from tests.benchmarks.subjects.near_hit import near_hit
from tests.benchmarks.subjects.push import push
from tests.benchmarks.subjects.session import session_get, session_get_many, session_set
from tests.benchmarks.subjects.single import get, miss, set_, unary
from tests.benchmarks.subjects.stampede import stampede
from tests.benchmarks.subjects.wakeup import wakeup

Subject = Callable[[Plan], Awaitable[list[Row]]]

SUBJECTS: Final[dict[str, Subject]] = {
    "get": get,
    "set": set_,
    "miss": miss,
    "unary": unary,
    "get_many": get_many,
    "set_many": set_many,
    "memory": memory,
    "invalidate": invalidate,
    "lease": lease,
    "stampede": stampede,
    "wakeup": wakeup,
    "session_get": session_get,
    "session_set": session_set,
    "session_get_many": session_get_many,
    "alone": alone,
    "near_hit": near_hit,
    "push": push,
}
