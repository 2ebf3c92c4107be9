"""Frames of a session, one by one: what is asked and answered in columns as if each were an operation of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2 as session_pb

_MISSES: Final = {
    session_pb.GET_OUTCOME_ABSENT: pb.MISS_REASON_ABSENT,
    session_pb.GET_OUTCOME_INVALIDATED: pb.MISS_REASON_INVALIDATED,
    session_pb.GET_OUTCOME_FOREIGN: pb.MISS_REASON_FOREIGN,
    session_pb.GET_OUTCOME_EXPIRED: pb.MISS_REASON_EXPIRED,
}


class _One:
    """One message of some kind, with the face of a oneof of all kinds."""

    kinds: Mapping[str, type[Any]]

    def __init__(self, one_id: int, kind: str | None, message: Any) -> None:
        self.id = one_id
        self.kind = kind
        self.message = message

    def WhichOneof(self, name: str) -> str | None:
        return self.kind

    def HasField(self, kind: str) -> bool:
        assert kind in self.kinds
        return kind == self.kind

    def __getattr__(self, kind: str) -> Any:
        if kind not in self.kinds:
            raise AttributeError(kind)
        return self.message if kind == self.kind else self.kinds[kind]()

    def __repr__(self) -> str:
        return f"{self.id}: {self.kind} {self.message}"


class Asked(_One):
    """A get, a set or an operation."""

    kinds: Mapping[str, type[Any]] = {
        "get": pb.GetRequest,
        "set": pb.SetRequest,
        "lease": pb.LeaseRequest,
        "fill": pb.FillRequest,
        "delete": pb.DeleteRequest,
        "touch": pb.TouchRequest,
        "invalidate": pb.InvalidateRequest,
        "batch_lease": pb.BatchLeaseRequest,
        "batch_fill": pb.BatchFillRequest,
    }

    def __init__(self, one_id: int, kind: str | None, message: Any, timeout_ms: int = 0) -> None:
        super().__init__(one_id, kind, message)
        self.timeout_ms = timeout_ms


class Answer(_One):
    """What a get, a set or an operation was answered."""

    kinds: Mapping[str, type[Any]] = {
        "error": pb.ItemError,
        "get": pb.GetResponse,
        "set": pb.SetResponse,
        "lease": pb.LeaseResponse,
        "fill": pb.FillResponse,
        "delete": pb.DeleteResponse,
        "touch": pb.TouchResponse,
        "invalidate": pb.InvalidateResponse,
        "batch_lease": pb.BatchLeaseResponse,
        "batch_fill": pb.BatchFillResponse,
    }


def asked_in(frame: session_pb.RequestFrame) -> list[Asked]:
    """What a frame asks for, in the order of the ids."""
    asked: list[Asked] = []
    for gets in frame.gets:
        for at, key in enumerate(gets.keys):
            get = pb.GetRequest(key={"text": key}, accept_stale=gets.accept_stale)
            asked.append(Asked(gets.first_id + at, "get", get, gets.timeout_ms))
    for sets in frame.sets:
        assert len(sets.keys) == len(sets.values)
        for at, (key, value) in enumerate(zip(sets.keys, sets.values, strict=True)):
            one = pb.SetRequest(
                key={"text": key},
                value=value,
                ttl_ms=sets.ttl_ms if sets.HasField("ttl_ms") else None,
                extra_tags=sets.extra_tags,
                only_if_absent=sets.only_if_absent,
                version=sets.versions[at] if sets.versions else None,
                negative=sets.negative,
            )
            asked.append(Asked(sets.first_id + at, "set", one, sets.timeout_ms))
    for operation in frame.operations:
        kind = operation.WhichOneof("request")
        message = getattr(operation, kind) if kind else None
        asked.append(Asked(operation.id, kind, message, operation.timeout_ms))
    return sorted(asked, key=lambda one: one.id)


def frame_of(asked: Iterable[Asked]) -> session_pb.RequestFrame:
    """A frame that asks for these; what can share a record does."""
    frame = session_pb.RequestFrame()
    last: tuple[Any, ...] = ()
    for one in asked:
        message = one.message
        if one.kind == "get":
            kind: tuple[Any, ...] = ("get", one.id - 1, one.timeout_ms, message.accept_stale)
            if kind != last:
                frame.gets.add(first_id=one.id, timeout_ms=one.timeout_ms, accept_stale=message.accept_stale)
            frame.gets[-1].keys.append(message.key.text)
        elif one.kind == "set":
            shared = (message.ttl_ms, message.HasField("ttl_ms"), dict(message.extra_tags), message.only_if_absent)
            versioned = message.HasField("version")
            kind = ("set", one.id - 1, one.timeout_ms, *shared, versioned, message.negative)
            if kind != last:
                sets = frame.sets.add(
                    first_id=one.id,
                    timeout_ms=one.timeout_ms,
                    ttl_ms=message.ttl_ms if message.HasField("ttl_ms") else None,
                    extra_tags=message.extra_tags,
                    only_if_absent=message.only_if_absent,
                    negative=message.negative,
                )
            sets.keys.append(message.key.text)
            sets.values.append(message.value)
            if versioned:
                sets.versions.append(message.version)
        else:
            kind = ()
            request = {} if one.kind is None else {one.kind: message}
            frame.operations.append(session_pb.Operation(id=one.id, timeout_ms=one.timeout_ms, **request))
        last = (*kind[:1], one.id, *kind[2:])
    return frame


def answers_in(frame: session_pb.ResponseFrame) -> list[Answer]:
    """What a frame answers."""
    answers: list[Answer] = []
    for gets in frame.gets:
        assert len(gets.outcomes) == len(gets.values) == len(gets.remaining_ttl_ms) == len(gets.age_ms)
        for at, outcome in enumerate(gets.outcomes):
            if outcome in _MISSES:
                response = pb.GetResponse(miss={"reason": _MISSES[outcome]})
            elif outcome:
                near = outcome == session_pb.GET_OUTCOME_HIT_NEAR_CACHEABLE
                left_ms, age_ms = gets.remaining_ttl_ms[at], gets.age_ms[at]
                hit = pb.Hit(value=gets.values[at], remaining_ttl_ms=left_ms, age_ms=age_ms, near_cacheable=near)
                response = pb.GetResponse(hit=hit)
            else:
                continue
            answers.append(Answer(gets.first_id + at, "get", response))
    for sets in frame.sets:
        assert len(sets.outcomes) == len(sets.ttl_ms)
        for at, outcome in enumerate(sets.outcomes):
            if outcome:
                done = pb.SetResponse(outcome=outcome, ttl_ms=sets.ttl_ms[at])
                answers.append(Answer(sets.first_id + at, "set", done))
    for result in frame.results:
        kind = result.WhichOneof("response")
        answers.append(Answer(result.id, kind, getattr(result, kind) if kind else None))
    return answers


def answer_frame(answers: Iterable[Answer]) -> session_pb.ResponseFrame:
    """A frame with these answers: plain ones in columns, others as results."""
    frame = session_pb.ResponseFrame()
    for one in answers:
        message = one.message
        if one.kind == "set":
            frame.sets.add(first_id=one.id, outcomes=[message.outcome], ttl_ms=[message.ttl_ms])
        elif one.kind == "get" and not _is_more(message):
            hit = message.hit
            near = session_pb.GET_OUTCOME_HIT_NEAR_CACHEABLE if hit.near_cacheable else session_pb.GET_OUTCOME_HIT
            outcome = near if message.HasField("hit") else {b: a for a, b in _MISSES.items()}[message.miss.reason]
            frame.gets.add(
                first_id=one.id,
                outcomes=[outcome],
                values=[hit.value],
                remaining_ttl_ms=[hit.remaining_ttl_ms],
                age_ms=[hit.age_ms],
            )
        else:
            result = {} if one.kind is None else {one.kind: message}
            frame.results.append(session_pb.OperationResult(id=one.id, **result))
    return frame


def _is_more(answer: pb.GetResponse) -> bool:
    """It says more than columns can."""
    hit = answer.hit
    return hit.stale or hit.negative or hit.HasField("version") or bool(hit.extra_tags)
