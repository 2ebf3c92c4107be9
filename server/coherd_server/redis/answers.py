"""Answers of jobs, as what they must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.router import Done


def bytes_of(answer: object) -> bytes:
    if not isinstance(answer, bytes):
        raise TypeError("unexpected answer of a script")
    return answer


def text_of(answer: object) -> str:
    return bytes_of(answer).decode()


def all_of(answers: Sequence[Done | StoreUnavailable]) -> Iterator[Done]:
    """The answers.

    Raises:
        StoreUnavailable: the first that is none.
    """
    for answer in answers:
        if isinstance(answer, StoreUnavailable):
            raise answer
        yield answer
