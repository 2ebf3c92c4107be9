"""Why Redis refuses or cannot be reached: one table of causes, each with what is wrong and what to do about it.

Told without any text that a server or library made up, which may hold keys, values or secrets.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import Final

from redis.exceptions import AuthenticationError, BusyLoadingError, InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

CAUSES: Final = {
    "MISCONF": "it refuses writes since it could not save to its disk (MISCONF); make room there, or set "
    "stop-writes-on-bgsave-error to no",
    "NOPERM": "not permitted for this user (NOPERM); what it may do, and below which key prefix: "
    "docs/operate/security.md",
    "NOAUTH": "user or password refused (NOAUTH); the URL names them: redis://USER:PASSWORD@HOST",
    "WRONGPASS": "user or password refused (WRONGPASS); the URL names them: redis://USER:PASSWORD@HOST",
    "LOADING": "it is loading its data (LOADING); it answers when that is done",
    "BUSY": "a script has been running there for too long (BUSY); SCRIPT KILL ends it",
    "READONLY": "it is a replica and takes no writes (READONLY); give the URL of the primary, or that of Sentinel or "
    "Cluster, which find it",
    "MASTERDOWN": "it is a replica that has lost its primary (MASTERDOWN); give the URL of the primary",
    "OOM": "it is full (OOM): maxmemory is reached and maxmemory-policy evicts nothing; allkeys-lru does",
    "CLUSTERDOWN": "its cluster is down (CLUSTERDOWN): slots have no primary, or most primaries cannot be reached",
}
"""By the code that an error reply begins with."""
_ERR: Final = {
    "max number of clients reached": "it has as many clients as its maxclients allows; raise that, or lower "
    "redis_connections or workers",
    "DB index is out of range": "it has no database of this number; the URL ends in one below its setting databases",
    "invalid DB index": "it has no database of this number; the URL ends in one below its setting databases",
    "SELECT is not allowed in cluster mode": "a cluster has no databases besides 0; leave the number out of the URL",
}
"""By the text of an error reply without a code of its own."""
_SPEAKS_TLS: Final = "what answers is no Redis, or wants TLS: the URL begins with rediss:// then"
_SPEAKS_NO_TLS: Final = "does the port speak TLS? Without it the URL begins with redis://"
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST")


def describe_error(error: BaseException) -> str:
    """What went wrong, and what to do where that is known."""
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "name not found"
    if (known := _of_text(error)) is not None:
        return known
    if isinstance(error, ResponseError | BusyLoadingError | AuthenticationError):
        return describe_refusal(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return "TLS failed: its certificate is not trusted, or is another host's; ssl_ca_certs names who signs it"
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or "handshake"
        return f"TLS failed: {reason}" + (f"; {_SPEAKS_NO_TLS}" if reason in _NOT_TLS else "")
    cause = error.__context__ if isinstance(error, RedisError) else error
    if isinstance(cause, OSError) and cause is not error:
        return describe_error(cause)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return "connection lost"


def describe_failed_connect(error: BaseException, *, tls: bool) -> str:
    """As `describe_error`, of a connection that could not be made; ``tls``: TLS was tried."""
    text = describe_error(error)
    if tls and text == "no answer in time":
        return f"{text}; {_SPEAKS_NO_TLS}"
    if not tls and (isinstance(error, InvalidResponse) or text in ("connection lost", "connection reset by peer")):
        return f"{text}; {_SPEAKS_TLS}"
    return text


def describe_refusal(error: RedisError) -> str:
    """What an error reply says."""
    code = error_code(error)
    known = _of_text(error) or CAUSES.get(code)
    return f"the node answered {code}" if known is None else known


def waiting_helps(error: BaseException) -> bool:
    """Whether the next attempt to connect may go better although nobody has changed anything."""
    wrong_database = _of_text(error) is not None and "database" in describe_error(error)
    return not (isinstance(error, AuthenticationError | ssl.SSLCertVerificationError) or wrong_database)


def error_code(error: RedisError) -> str:
    """The code an error reply begins with, such as ``OOM``; ``ERR`` when there is none."""
    if isinstance(error, BusyLoadingError):
        return "LOADING"
    code = getattr(error, "status_code", None) or str(error).split(" ", 1)[0]
    return code if code.isupper() and code.isalpha() else "ERR"


def _of_text(error: BaseException) -> str | None:
    """The cause that an error reply names in its text alone."""
    if not isinstance(error, RedisError):
        return None
    said = str(error)
    return next((cause for text, cause in _ERR.items() if text in said), None)
