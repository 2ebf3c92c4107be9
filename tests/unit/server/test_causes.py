"""What Redis says is told with its cause and what to do, never with a text that may hold secrets."""

from __future__ import annotations

import ssl
from typing import cast

import pytest
from hiredis import Reader
from redis._parsers.base import BaseParser
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.failure import failure_of
from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.causes import CAUSES, SENTINEL, describe_error, describe_failed_connect, waiting_helps
from coherd_server.redis.jobs import NOT_EXECUTED, refusal

SECRET = "s3cret"


def reply(text: str) -> RedisError:
    """An error reply, as the connection reads it."""
    reader = Reader(replyError=BaseParser.parse_error)
    reader.feed(f"-{text}\r\n".encode())
    return cast(RedisError, reader.gets())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("MISCONF Errors writing to the AOF file: s3cret", "could not save to its disk (MISCONF); make room"),
        (
            "NOPERM User s3cret has no permissions",
            "not permitted for this user (NOPERM); what",
        ),
        ("NOAUTH Authentication required.", "user or password refused (NOAUTH); the URL"),
        ("WRONGPASS invalid username-password pair", "user or password refused (WRONGPASS); the URL"),
        ("LOADING Redis is loading the dataset in memory", "loading its data (LOADING); it answers when"),
        ("BUSY Redis is busy running a script.", "a script has been running there for too long (BUSY); SCRIPT KILL"),
        ("READONLY You can't write against a read only replica.", "a replica and takes no writes (READONLY); give the"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "it is full (OOM): maxmemory is reached"),
        ("ERR max number of clients reached", "as many clients as its maxclients allows; raise that"),
        ("ERR DB index is out of range", "no database of this number; the URL ends in one below"),
        ("ERR SELECT is not allowed in cluster mode", "no databases besides 0; leave the number out"),
        (
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "its hash slot is moving to another node (TRYAGAIN)",
        ),
        (
            "ERR unknown command 'INFO', with args beginning with: s3cret",
            "a proxy, or a server that is too old; connect",
        ),
        ("ERR AUTH <password> called without any password configured for the default user.", "it wants no password"),
        ("ERR invalid s3cret", "the node answered ERR"),
    ],
)
def test_each_cause_has_its_text(said: str, told: str) -> None:
    text = describe_error(reply(said))
    assert told in text
    assert SECRET not in text
    assert "\n" not in text


def test_no_two_causes_have_one_text() -> None:
    assert len({cause.text for cause in [*CAUSES.values(), *SENTINEL.values()]}) == len(CAUSES) + len(SENTINEL)


@pytest.mark.parametrize("code", sorted(CAUSES.keys() & NOT_EXECUTED - {"OOM"}))
def test_callers_are_told_the_cause_and_that_nothing_was_changed(code: str) -> None:
    failure = failure_of(refusal(cast(ResponseError, reply(f"{code} s3cret"))))
    assert failure.reason == CAUSES[code].reason == ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
    assert failure.message == f"the store is unavailable: {CAUSES[code].text}; nothing was changed"


def test_callers_of_a_write_that_was_sent_are_told_the_cause_and_that_it_may_take_effect() -> None:
    failure = failure_of(StoreUnavailable("10.0.0.1: gone", outcome_unknown=True, cause="connection lost"))
    assert failure.reason == ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN
    assert failure.message == "the store is unavailable: connection lost; the change may or may not take effect"


def test_a_full_store_has_its_own_reason() -> None:
    failure = failure_of(refusal(cast(ResponseError, reply("OOM command not allowed"))))
    assert failure.reason == CAUSES["OOM"].reason == ErrorReason.ERROR_REASON_STORE_FULL
    assert failure.message.endswith("nothing was changed")


def test_a_refused_command_carries_its_cause() -> None:
    error = refusal(cast(ResponseError, reply("MISCONF s3cret")))
    assert (error.cause, error.outcome_unknown) == (CAUSES["MISCONF"].text, False)
    error = refusal(cast(ResponseError, reply("ERR s3cret")))
    assert (error.cause, error.outcome_unknown) == ("", True)
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("error", "tls", "told"),
    [
        (TimeoutError(), True, "no answer in time; does the port speak TLS?"),
        (TimeoutError(), False, "no answer in time"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong"), True, "TLS failed"),
        (InvalidResponse("Protocol Error: s3cret"), False, "no Redis, or wants TLS; the URL begins with rediss://"),
        (ConnectionResetError(104, "reset"), False, "connection reset by peer; what answers is no Redis, or wants TLS"),
        (EOFError(), False, "connection lost; what answers is no Redis, or wants TLS"),
    ],
)
def test_tls_to_a_plain_port_and_back(error: BaseException, tls: bool, told: str) -> None:
    text = describe_failed_connect(error, tls=tls)
    assert text.startswith(told) or told in text
    assert SECRET not in text


def test_waiting_helps_unless_the_url_is_wrong() -> None:
    assert not waiting_helps(reply("WRONGPASS no"))
    assert not waiting_helps(reply("NOAUTH Authentication required."))
    assert not waiting_helps(ssl.SSLCertVerificationError("no"))
    wrapped = RedisError("no")
    wrapped.__context__ = ssl.SSLCertVerificationError("no")
    assert not waiting_helps(wrapped)
    assert not waiting_helps(reply("ERR DB index is out of range"))
    assert waiting_helps(reply("ERR max number of clients reached"))
    assert waiting_helps(reply("LOADING yes"))
