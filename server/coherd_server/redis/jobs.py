"""A job for the node that holds a name, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from redis.exceptions import OutOfMemoryError, ResponseError

from coherd_server.core.store import FillOutcome, GrantOutcome, PutOutcome, StoreUnavailable
from coherd_server.redis.causes import cause_of, describe_refusal, error_code
from coherd_server.redis.redis_py import Arg, Reply
from coherd_server.redis.scripts import Script

E = TypeVar("E", GrantOutcome, FillOutcome)
NOT_EXECUTED: Final = frozenset(
    {"NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "OOM", "LOADING", "MASTERDOWN", "MISCONF"}
    | {"NOAUTH", "NOPERM", "BUSY"}
)
"""Codes of errors that come before a command's first write. A script that fails otherwise may have written (P6)."""


class Job(NamedTuple):
    """One item of a script, or one plain command."""

    script: Script | None
    keys: tuple[str, ...]
    """Full names, all of one slot; the first one decides where the job goes."""
    args: tuple[Arg, ...]
    """Arguments of the item (without the fresh epoch); of a plain command everything, its name first."""
    identity: bytes | None = None
    """Send only on a connection with this identity (`Put.identity`)."""
    replicas: int = 0
    """Replicas that must have confirmed it (``WAIT``), or it counts as not confirmed [repeat-on-switch]."""
    common: tuple[Arg, ...] = ()
    """Arguments of the call: only items with the same ones share it."""


class Moved(NamedTuple):
    """Answer to a job whose `Job.identity` is not that of the connection: it was not sent."""


class LateError(ResponseError):
    """The call reached the node after its deadline and wrote nothing."""


class UnconfirmedError(ResponseError):
    """Done by the primary, confirmed by fewer replicas than asked for."""


class Done(NamedTuple):
    """Answer to a job, and what is known of the node behind the connection that carried it."""

    answer: Reply
    """bytes or another reply, or `Moved`; never an error."""
    identity: bytes
    redis_now_ms: int
    """That node's own clock when the reply arrived, unix milliseconds."""
    batch: int
    """`Batch.number` of the batch that carried it."""


def refusal(error: ResponseError) -> StoreUnavailable:
    """What a command that a node refused is for its caller, told without keys and values."""
    if isinstance(error, OutOfMemoryError):
        return StoreUnavailable(f"the node refused the command: {describe_refusal(error)}", full=True)
    if isinstance(error, UnconfirmedError):
        return StoreUnavailable("fewer replicas than the domain asks for have confirmed it", outcome_unknown=True)
    if isinstance(error, LateError):
        return LateRefusal("the command reached its node after its deadline and did nothing")
    cause = cause_of(error)
    return StoreUnavailable(
        f"the node refused the command: {describe_refusal(error)}",
        outcome_unknown=error_code(error) not in NOT_EXECUTED,
        cause="" if cause is None else cause.text,
    )


class LateRefusal(StoreUnavailable):
    """The command was void when it arrived [node-time-deadline]."""


def bytes_of(answer: object) -> bytes:
    """The answer of a script that answers with bytes.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(answer, bytes):
        raise TypeError("unexpected answer of a script")
    return answer


def text_of(answer: object) -> str:
    """As `bytes_of`, decoded."""
    return bytes_of(answer).decode()


def all_of(answers: Sequence[Done | StoreUnavailable]) -> list[Done]:
    """The answers to several jobs, where every job has one.

    Raises:
        StoreUnavailable: the first job that has none.
    """
    done: list[Done] = []
    for answer in answers:
        if isinstance(answer, StoreUnavailable):
            raise answer
        done.append(answer)
    return done


def outcome_of(kind: type[E], answer: Done | StoreUnavailable, moved: E) -> E | StoreUnavailable:
    """What a job answered, as one of the outcomes of its kind; ``moved`` where it was not sent for its identity."""
    if isinstance(answer, StoreUnavailable):
        return answer
    return moved if isinstance(answer.answer, Moved) else kind(text_of(answer.answer))


def put_outcome_of(answer: Done | StoreUnavailable) -> PutOutcome | StoreUnavailable:
    """What a put answered."""
    if type(answer) is Done and answer.answer == b"stored":  # as nearly all do
        return PutOutcome.STORED
    if isinstance(answer, StoreUnavailable):
        return PutOutcome.LATE if isinstance(answer, LateRefusal) else answer
    if isinstance(answer.answer, Moved):
        return PutOutcome.MOVED_IDENTITY
    outcome = _PUT_OUTCOMES.get(bytes_of(answer.answer))
    if outcome is None:
        raise TypeError("unexpected answer of a script")
    return outcome


_PUT_OUTCOMES: Final = {outcome.value.encode(): outcome for outcome in PutOutcome}
