"""Gets and sets of a session between their callers and the frames. Those with equal options share a record, and one
object stands for all of it: a column of keys, and of what waits for the answers.

Who waits for the answers is served alike, many callers of one key (`Callers`) or one of many (`coherd._rpc.batch`). A
place is that of a key in the record.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from coherd._near import PendingRead
from coherd._rpc import frames
from coherd._rpc.batch import Batch
from coherd._rpc.frames import GetAnswers, SetAnswers, SetOptions
from coherd._rpc.status import error_of_item
from coherd.errors import CacheError, ServerDefect
from coherd.results import SetOutcome, SetResult
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2

GetAnswer: TypeAlias = "bytes | pb.GetResponse"
"""What a get is answered: the payload of a value of which nothing else is to be said; else all that is said."""
Reads: TypeAlias = "list[PendingRead | None] | None"
"""The pending reads of a request's keys, in their order, None for those that are not kept; or none of them are."""

ITEM_BYTES: Final = 32
"""Reckoned size of a get or set besides its key and value."""
_MISSES: Final = {
    outcome: pb.GetResponse(miss=pb.Miss(reason=reason)) for outcome, reason in frames.MISS_REASONS.items()
}
SET_OUTCOMES: Final[Mapping[int, SetOutcome]] = {
    pb.SET_OUTCOME_STORED: SetOutcome.STORED,
    pb.SET_OUTCOME_PRESENT: SetOutcome.PRESENT,
    pb.SET_OUTCOME_OLDER_VERSION: SetOutcome.OLDER_VERSION,
}


_STRANGE: Final = "the answer is not one to the operation"


class _Answered:
    """Stands for the future of a caller that waits no longer."""

    def done(self) -> bool:
        return True


_ANSWERED: Final[Any] = _Answered()


class Callers:
    """Single callers, each with a future of its own. `coherd._rpc.send_queue.SendQueue` adds them."""

    __slots__ = ("futures", "unanswered")

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[Any]] = []
        self.unanswered = 0
        """How many still wait."""

    def put(self, at: int, answers: Sequence[Any]) -> None:
        """Answer those from a place on; None: not answered yet."""
        unanswered = self.unanswered
        for future, answer in zip(self.futures[at:] if at else self.futures, answers, strict=False):
            if answer is not None and not future.done():
                future.set_result(answer)
                unanswered -= 1
        self.unanswered = unanswered

    def fail(self, at: int, error: CacheError | ValueError | TypeError) -> None:
        """Give one caller an error, if it still waits."""
        future = self.futures[at]
        if not future.done():
            future.set_exception(error)
            future.exception()  # a caller that is cancelled now does not ask for it
            self.unanswered -= 1

    def fail_all(self, make: Callable[[], CacheError]) -> None:
        """Give an error of its own to each that still waits."""
        for at in range(len(self.futures)):
            self.fail(at, make())

    def give_up(self, future: asyncio.Future[Any]) -> range:
        """The places of a caller that waits no longer; none where it is answered, or was given up before."""
        if future not in self.futures or not (future.cancel() or future.cancelled()):
            return range(0)
        at = self.futures.index(future)
        self.futures[at] = _ANSWERED
        self.unanswered -= 1
        return range(at, at + 1)

    def wanted(self) -> list[int] | None:
        """The places that are waited for; None: all of them."""
        futures = self.futures
        return None if self.unanswered == len(futures) else [at for at, one in enumerate(futures) if not one.done()]

    def leave(self, places: Sequence[int]) -> None:
        """Only these are asked for. Of the others some may be cancelled and not given up yet: they wait no longer."""
        self.futures = [self.futures[at] for at in places]
        self.unanswered = len(places)


class Near(Protocol):
    """What a near cache is told (`coherd._rpc.session_near.SessionNear`)."""

    def got(self, reads: Reads, at: int, answers: GetAnswers) -> None: ...
    def got_one(self, reads: Reads, at: int, answer: pb.GetResponse | None) -> None: ...
    def changed(self, keys: Sequence[str]) -> None: ...


class Columns:
    """What gets and sets of one record have in common.

    Args:
        timeout_ms: until when their answers are waited for, >= 1.
        callers: who waits.
    """

    __slots__ = (
        "callers",
        "first_id",
        "is_full",
        "joinable_until_s",
        "keys",
        "near",
        "reads",
        "size_bytes",
        "timeout_ms",
    )

    def __init__(self, timeout_ms: int, callers: Callers | Batch) -> None:
        self.timeout_ms = timeout_ms
        self.callers: Callers | Batch = callers
        self.keys: list[str] = []
        self.near: Near | None = None
        self.reads: Reads = None
        self.size_bytes = 0
        """Reckoned size in a frame."""
        self.first_id = 0
        """0 until it is handed to gRPC."""
        self.joinable_until_s = math.inf
        """Until then, of the event loop's clock, others may join; infinite for one turn of the loop."""
        self.is_full = False
        """Nobody may join any more."""

    @property
    def is_sent(self) -> bool:
        """Whether it was handed to gRPC, and so may have arrived."""
        return self.first_id > 0

    @property
    def unanswered(self) -> int:
        """How many are not answered yet."""
        return self.callers.unanswered

    # Ends.

    def _left(self) -> int:
        """How many are not answered; when none are, it is forgotten."""
        left = self.callers.unanswered
        if not left:
            self.forget()
        return left

    def take_result(self, result: session_pb2.OperationResult) -> None:
        """Answer one that is not answered in columns."""
        at = result.id - self.first_id
        if result.HasField("error"):
            self._tell([at])
            self.callers.fail(at, error_of_item(result.error))
        elif not self._take_answer(at, result):
            self._tell([at])
            self.callers.fail(at, ServerDefect(_STRANGE))

    def take_strange(self, answers: GetAnswers | SetAnswers) -> None:
        """What came for some of these answers something else."""
        at = answers.first_id - self.first_id
        for place, outcome in enumerate(answers.outcomes, at):
            if outcome:
                self._tell([place])
                self.callers.fail(place, ServerDefect(_STRANGE))

    def _fail_strange(self, at: int, outcomes: Sequence[int], answers: Sequence[Any]) -> None:
        """What is answered by an outcome that is not known here is not to wait until its time is up."""
        for place, (outcome, answer) in enumerate(zip(outcomes, answers, strict=True), at):
            if outcome and answer is None:
                self.callers.fail(place, ServerDefect(_STRANGE))

    def fail(self, make: Callable[[], CacheError]) -> Sequence[int]:
        """All that is not answered has failed: it may have been done, or may be still. Its ids, if it is sent."""
        wanted = self.callers.wanted()
        places = range(len(self.keys)) if wanted is None else wanted
        self._tell(range(len(self.keys)))  # also of who is cancelled and not given up yet
        self.callers.fail_all(make)
        return self._ids(places)

    def forget(self) -> None:
        """All is answered: keep nothing that is large, as long as a caller still has it in hand."""
        self.joinable_until_s = -math.inf
        self.keys = []
        self.reads = None
        self.callers = Callers()

    def give_up(self, future: asyncio.Future[Any]) -> Sequence[int]:
        """The caller of a future waits no longer: the ids of what it asked for, if that is sent. Again does nothing."""
        places = self.callers.give_up(future)
        self._tell(places)
        return self._ids(places)

    def _ids(self, places: Sequence[int]) -> Sequence[int]:
        return [self.first_id + at for at in places] if self.is_sent else ()

    def drop_bad(self) -> None:
        """Fail what cannot be written into a frame: of a record that is not sent, it alone."""
        for at in range(len(self.keys)):
            try:
                self._encode([at])
            except (TypeError, ValueError) as error:
                self._tell([at])
                self.callers.fail(at, error)

    def leave_out(self) -> None:
        """Forget those that nobody waits for, if there are any; before it is sent."""
        places = self.callers.wanted()
        if places is not None:
            left = set(places)
            self._tell([at for at in range(len(self.keys)) if at not in left])
            self.callers.leave(places)
            self._leave(places)

    def _tell(self, places: Sequence[int]) -> None:
        """Tell the near cache that these are not answered, or not by a value that it may keep."""
        raise NotImplementedError

    def _take_answer(self, at: int, result: session_pb2.OperationResult) -> bool:
        raise NotImplementedError

    def _encode(self, places: Sequence[int]) -> bytes:
        raise NotImplementedError

    def _leave(self, places: Sequence[int]) -> None:
        self.keys = [self.keys[at] for at in places]
        if self.reads is not None:
            self.reads = [self.reads[at] for at in places]


class Gets(Columns):
    """Gets of one record."""

    __slots__ = ("accept_stale", "whole")

    def __init__(self, timeout_ms: int, callers: Callers | Batch, accept_stale: bool, whole: bool = False) -> None:
        super().__init__(timeout_ms, callers)
        self.accept_stale = accept_stale
        self.whole = whole
        """The callers want values with all that is known of them, as messages."""

    def take(self, answers: GetAnswers) -> int:
        """Answer those that a record of answers is about; how many are left."""
        first_id, outcomes, values, remaining_ttl_ms, ages_ms = answers
        at = first_id - self.first_id
        if self.near is not None:
            self.near.got(self.reads, at, answers)
        plain: Sequence[GetAnswer | None] = values
        if max(outcomes) > frames.HIT_NEAR or min(outcomes) < frames.HIT:
            plain = [
                value if 0 < outcome <= frames.HIT_NEAR else _MISSES.get(outcome)
                for outcome, value in zip(outcomes, values, strict=True)
            ]
        if self.whole:
            plain = [
                pb.GetResponse(hit=pb.Hit(value=value, remaining_ttl_ms=left_ms, age_ms=age_ms))
                if isinstance(value, bytes)
                else value
                for value, left_ms, age_ms in zip(plain, remaining_ttl_ms, ages_ms, strict=True)
            ]
        self.callers.put(at, plain)
        if plain is not values and None in plain:
            self._fail_strange(at, outcomes, plain)
        return self._left()

    def _take_answer(self, at: int, result: session_pb2.OperationResult) -> bool:
        if not result.HasField("get"):
            return False
        answer = result.get
        if self.near is not None:
            self.near.got_one(self.reads, at, answer)
        self.callers.put(at, [answer])
        return True

    def _tell(self, places: Sequence[int]) -> None:
        if self.near is not None and self.reads is not None:
            for at in places:
                self.near.got_one(self.reads, at, None)

    def _encode(self, places: Sequence[int]) -> bytes:
        keys = [self.keys[at] for at in places]
        return frames.encode_frame([frames.GetColumns(1, self.timeout_ms, self.accept_stale, keys)], ())


class Sets(Columns):
    """Sets of one record."""

    __slots__ = ("options", "values", "versions")

    def __init__(self, timeout_ms: int, callers: Callers | Batch, options: SetOptions) -> None:
        super().__init__(timeout_ms, callers)
        self.options = options
        self.values: list[bytes] = []
        self.versions: list[int] = []

    def forget(self) -> None:
        super().forget()
        self.values, self.versions = [], []

    def take(self, answers: SetAnswers) -> int:
        """Answer those that a record of answers is about; how many are left."""
        first_id, outcomes, ttls_ms = answers
        at = first_id - self.first_id
        self._tell(range(at, at + len(outcomes)))
        known = SET_OUTCOMES
        results = [
            SetResult(known[outcome], ttl_ms) if outcome in known else None
            for outcome, ttl_ms in zip(outcomes, ttls_ms, strict=True)
        ]
        self.callers.put(at, results)
        if None in results:
            self._fail_strange(at, outcomes, results)
        return self._left()

    def _take_answer(self, at: int, result: session_pb2.OperationResult) -> bool:
        return False

    def _tell(self, places: Sequence[int]) -> None:
        if self.near is not None and places:
            self.near.changed([self.keys[at] for at in places])

    def _encode(self, places: Sequence[int]) -> bytes:
        keys, values = [self.keys[at] for at in places], [self.values[at] for at in places]
        versions = [self.versions[at] for at in places] if self.versions else ()
        columns = frames.SetColumns(1, self.timeout_ms, self.options, keys, values, versions)
        return frames.encode_frame((), [columns])

    def _leave(self, places: Sequence[int]) -> None:
        super()._leave(places)
        self.values = [self.values[at] for at in places]
        if self.versions:
            self.versions = [self.versions[at] for at in places]
