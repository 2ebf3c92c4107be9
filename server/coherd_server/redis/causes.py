"""Why Redis refuses or cannot be reached: one table of causes, each with what is wrong and what to do about it.

Told without any text that a server or library made up, which may hold keys, values or secrets.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import Final, NamedTuple

from redis.exceptions import AuthenticationError, BusyLoadingError, InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from coherd.v1.errors_pb2 import ErrorReason


class Cause(NamedTuple):
    """A row of the table. Nothing was changed by a command that was refused for one of them."""

    wrong: str
    """What is wrong."""
    do: str
    """What to do about it."""
    said: tuple[str, ...] = ()
    """How an error reply is recognised that has no code of its own: by one of these parts of its text."""
    reason: int = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
    """What callers are told."""
    passes: bool = True
    """The next attempt may go better although nobody has changed anything."""

    @property
    def text(self) -> str:
        """Both in one line."""
        return f"{self.wrong}; {self.do}"


_LOG_IN: Final = "the URL names them: redis://USER:PASSWORD@HOST"
CAUSES: Final = {
    "MISCONF": Cause(
        "it refuses writes since it could not save to its disk (MISCONF)",
        "make room there, or set stop-writes-on-bgsave-error to no",
    ),
    "NOPERM": Cause(
        "not permitted for this user (NOPERM)",
        "what it may do, and below which key prefix: docs/operate/security.md",
    ),
    "NOAUTH": Cause("user or password refused (NOAUTH)", _LOG_IN, passes=False),
    "WRONGPASS": Cause("user or password refused (WRONGPASS)", _LOG_IN, passes=False),
    "LOADING": Cause("it is loading its data (LOADING)", "it answers when that is done"),
    "BUSY": Cause("a script has been running there for too long (BUSY)", "SCRIPT KILL ends it"),
    "READONLY": Cause(
        "it is a replica and takes no writes (READONLY)",
        "give the URL of the primary, or that of Sentinel or Cluster, which find it",
    ),
    "MASTERDOWN": Cause(
        "it is a replica that has lost its primary (MASTERDOWN)",
        "give the URL of the primary",
    ),
    "OOM": Cause(
        "it is full (OOM): maxmemory is reached and maxmemory-policy evicts nothing",
        "allkeys-lru does",
        reason=ErrorReason.ERROR_REASON_STORE_FULL,
    ),
    "CLUSTERDOWN": Cause(
        "its cluster is down (CLUSTERDOWN): slots have no primary, or most primaries cannot be reached",
        "CLUSTER INFO and CLUSTER NODES say which",
    ),
    "TRYAGAIN": Cause(
        "its hash slot is moving to another node (TRYAGAIN)",
        "it takes writes again when that is done",
    ),
    "no password there": Cause(
        "it wants no password",
        "leave it out of the URL, or set one there",
        said=("without any password configured",),
        passes=False,
    ),
    "maxclients": Cause(
        "it has as many clients as its maxclients allows",
        "raise that, or lower redis_connections or workers",
        said=("max number of clients reached",),
    ),
    "no such database": Cause(
        "it has no database of this number",
        "the URL ends in one below its setting databases",
        said=("DB index is out of range", "invalid DB index"),
        passes=False,
    ),
    "no database in a cluster": Cause(
        "a cluster has no databases besides 0",
        "leave the number out of the URL",
        said=("SELECT is not allowed in cluster mode",),
        passes=False,
    ),
    "unknown command": Cause(
        "it does not know a command that is needed: a proxy, or a server that is too old",
        "connect to Redis 7.0, Valkey 7.2 or newer, with nothing in between",
        said=("unknown command",),
    ),
    "no Redis": Cause("what answers is no Redis, or wants TLS", "the URL begins with rediss:// then"),
    "no TLS": Cause("TLS failed", "does the port speak TLS? Without it the URL begins with redis://"),
    "certificate": Cause(
        "TLS failed: its certificate is not trusted, or is another host's",
        "ssl_ca_certs names who signs it",
        passes=False,
    ),
}
"""By the code that an error reply begins with, or a name of ours."""
SENTINEL: Final = {
    "failover": Cause("the sentinels are replacing the primary, which is down", "wait until that is done"),
    "no quorum": Cause(
        "the primary is down and nobody replaces it: too few sentinels agree",
        "start the sentinels that are down; SENTINEL CKQUORUM says how many are needed",
    ),
    "unknown name": Cause("the sentinels know no primary of this name", "the URL ends in the name they monitor"),
    "password": Cause(
        "the sentinels refuse user or password", "sentinel_username and sentinel_password of the URL are theirs"
    ),
    "not permitted": Cause("the sentinels do not permit SENTINEL MASTERS to this user", "allow it +sentinel|masters"),
    "no sentinel": Cause(
        "what answers is a server that stores, no sentinel", "give the port of the sentinels, which is 26379 mostly"
    ),
    "TLS": Cause("the sentinels cannot be talked to", "TLS is on for them with rediss+sentinel://, else off"),
    "unreachable": Cause("no sentinel answers", "the URL names hosts and ports of the sentinels"),
    "replica": Cause(
        "the sentinels name a replica as the primary",
        "wait for the failover to end; if it lasts, SENTINEL RESET lets them look again",
    ),
    "primary": Cause(
        "the sentinels name this address and hold it for up",
        "it must be reachable from here: replica-announce-ip and sentinel announce-ip say which address they name",
    ),
}
"""Why there is no primary behind Sentinel; what is known for more certain comes first."""
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST")
NOT_A_PRIMARY: Final = f"the node is not a primary: {CAUSES['READONLY'].text}"
CLUSTER_IS_OFF: Final = "cluster mode is off there: use redis://"
NO_ANSWER: Final = "no answer in time"


def describe_error(error: BaseException) -> str:
    """What went wrong, and what to do where that is known."""
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return NO_ANSWER
    if isinstance(error, socket.gaierror):
        return "name not found"
    if (known := cause_of(error)) is not None:
        return known.text
    if isinstance(error, ResponseError | BusyLoadingError | AuthenticationError):
        return describe_refusal(error)
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or "handshake"
        return f"TLS failed: {reason}" + (f"; {CAUSES['no TLS'].do}" if reason in _NOT_TLS else "")
    cause = error.__context__ if isinstance(error, RedisError) else error
    if isinstance(cause, OSError) and cause is not error:
        return describe_error(cause)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return "connection lost"


def describe_failed_connect(error: BaseException, *, tls: bool) -> str:
    """As `describe_error`, of a connection that could not be made; ``tls``: TLS was tried."""
    text = describe_error(error)
    if tls and text == NO_ANSWER:
        return f"{text}; {CAUSES['no TLS'].do}"
    if not tls and is_about_tls(error, tls=tls):
        return f"{text}; {CAUSES['no Redis'].text}"
    return text


def is_about_tls(error: BaseException, *, tls: bool) -> bool:
    """Whether one side seems to speak TLS and the other not; ``tls``: this side does."""
    text = describe_error(error)
    if tls:
        return text == NO_ANSWER or text.startswith("TLS failed")
    return isinstance(error, InvalidResponse) or text in ("connection lost", "connection reset by peer")


def describe_refusal(error: RedisError) -> str:
    """What an error reply says."""
    known = cause_of(error)
    return f"the node answered {error_code(error)}" if known is None else known.text


def waiting_helps(error: BaseException) -> bool:
    """Whether the next attempt to connect may go better although nobody has changed anything."""
    known = cause_of(error)
    return known.passes if known is not None else not isinstance(error, AuthenticationError)


def error_code(error: RedisError) -> str:
    """The code an error reply begins with, such as ``OOM``; ``ERR`` when there is none."""
    if isinstance(error, BusyLoadingError):
        return "LOADING"
    code = getattr(error, "status_code", None) or str(error).split(" ", 1)[0]
    return code if code.isupper() and code.isalpha() else "ERR"


def cause_of(error: BaseException) -> Cause | None:
    """The row of the table for an error reply or a failed handshake; None where there is none."""
    if isinstance(error, ssl.SSLCertVerificationError) or isinstance(error.__context__, ssl.SSLCertVerificationError):
        return CAUSES["certificate"]
    if not isinstance(error, RedisError):
        return None
    text = str(error)
    by_text = (cause for cause in CAUSES.values() if any(said in text for said in cause.said))
    return next(by_text, None) or CAUSES.get(error_code(error))
