"""The options of every command that talks to a server, and how such a command runs: connect, act, one line on
failure.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from coherd._rpc.tls import TlsConfig
from coherd.cli import parameters
from coherd.cli.endpoint import EndpointError, NobodyThere, check_listening, parse_endpoint
from coherd.cli.output import CommandFailure, ExitCode
from coherd.client import CacheClient
from coherd.codec import ValueDecodeError, ValueEncodeError
from coherd.contract.reasons import reason_name
from coherd.errors import CacheError, DeadlineExceeded, NotServed, OutcomeUnknown, ServerDefect, Unavailable
from coherd.v1.errors_pb2 import ErrorReason

T = TypeVar("T")

DEFAULT_TARGET: Final = "localhost:50051"
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_AWAY: Final = (Unavailable, DeadlineExceeded, OutcomeUnknown)
"""Errors after which the same command may succeed later."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Which server, and how to reach it."""

    target: str
    timeout_ms: int = 5_000
    tls: TlsConfig | None = None
    token: str | None = None

    def client(self, *, sessions: bool = False, near_cache: bool = False) -> CacheClient:
        """A client of the server, not yet connected; a session is for more than a call or two."""
        return CacheClient.connect(
            self.target,
            timeout_ms=self.timeout_ms,
            tls=self.tls,
            token=self.token,
            sessions=sessions,
            near_cache=near_cache,
        )


def server_options(command: Callable[..., T], *, only_asked: bool = False) -> Callable[..., T]:
    """Adds the options; the command gets them as one argument ``server``.

    Args:
        command: what they are added to.
        only_asked: it asks a server only where ``--server`` is given; neither default nor environment make it do so.
    """

    @functools.wraps(command)
    def packed(
        *args: Any,
        target: str,
        timeout_ms: int,
        tls: bool,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        token: str | None,
        **rest: Any,
    ) -> T:
        if (tls_cert is None) != (tls_key is None):
            raise click.UsageError("--tls-cert and --tls-key are given together")
        encrypted = tls or tls_ca is not None or tls_cert is not None
        config = TlsConfig(ca=tls_ca, cert=tls_cert, key=tls_key) if encrypted else None
        return command(*args, server=ServerOptions(target, timeout_ms, config, token), **rest)

    for option in reversed(
        (
            click.option(
                "--server",
                "target",
                envvar=None if only_asked else "COHERD_TARGET",
                show_envvar=True,
                default=DEFAULT_TARGET,
                show_default=not only_asked,
                metavar="HOST:PORT",
                help="Ask this server." if only_asked else "The server to ask.",
            ),
            click.option("--tls", is_flag=True, help="Encrypt; trust the system's authorities."),
            click.option("--tls-ca", type=_FILE, help="Encrypt; trust the authorities of this PEM file."),
            click.option("--tls-cert", type=_FILE, help="Certificate to show the server (PEM)."),
            click.option("--tls-key", type=_FILE, help="Private key of --tls-cert (PEM)."),
            click.option(
                "--token",
                type=parameters.token,
                envvar="COHERD_TOKEN",
                show_envvar=True,
                metavar="TEXT",
                help="Bearer token.",
            ),
            click.option(
                "--timeout",
                "timeout_ms",
                type=parameters.timeout_ms,
                default="5s",
                show_default=True,
                metavar="DURATION",
                help="Longest wait for one answer.",
            ),
        )
    ):
        option(packed)
    return packed


def run(
    server: ServerOptions, act: Callable[[CacheClient], Awaitable[T]], *, of_key: bool = False, **options: Any
) -> T:
    """What the action returns, in an event loop of its own.

    Args:
        of_key: the action is about the key on the command line, which `coherd keys explain` can tell more of.
        options: of `CacheClient.connect`.

    Raises:
        CommandFailure: it failed in a way the contract knows; anything else is a defect and passes.
    """

    async def connected() -> T:
        async with server.client(**options) as cache:
            return await act(cache)

    try:
        check_listening(parse_endpoint(server.target), server.target, server.timeout_ms / 1000)
    except EndpointError as error:
        raise CommandFailure(f"--server: {error}", ExitCode.USAGE) from None
    except NobodyThere as error:
        raise CommandFailure(str(error), ExitCode.UNAVAILABLE) from None
    with one_line_errors(server.target, tls=server.tls, of_key=of_key):
        return asyncio.run(connected())


@contextmanager
def one_line_errors(target: str = "", *, tls: TlsConfig | None = None, of_key: bool = False) -> Iterator[None]:
    """Turns what the contract and the client raise into a `CommandFailure`."""
    try:
        yield
    except _AWAY as error:
        text = _line(str(error), error.reason)
        if target not in text:
            text = f"{target}: {text}"
        if type(error) is Unavailable and error.reason == ErrorReason.ERROR_REASON_UNSPECIFIED:
            text += f"; connections are accepted there: is it a Coherd server, {_doubts(tls)}?"
        raise CommandFailure(text, ExitCode.UNAVAILABLE) from None
    except (NotServed, ServerDefect) as error:
        text = _line(str(error), error.reason)
        if error.reason == ErrorReason.ERROR_REASON_UNSPECIFIED:
            text = f"{target}: {text}; is it a Coherd server, of this version?"
        raise CommandFailure(text, ExitCode.REFUSED) from None
    except CacheError as error:
        raise CommandFailure(_line(str(error), error.reason, of_key=of_key), ExitCode.REFUSED) from None
    except (ValueDecodeError, ValueEncodeError) as error:
        raise CommandFailure(str(error), ExitCode.REFUSED) from None


def _doubts(tls: TlsConfig | None) -> str:
    """What may be wrong where a connection comes about and no call does."""
    if tls is None:
        return "without TLS"
    trusted = "the system's authorities" if tls.ca is None else str(tls.ca)
    shown = ", does it want a client certificate" if tls.cert is None else ", does it trust --tls-cert"
    return f"with TLS, is its certificate for this host and of {trusted}{shown}"


def _line(message: str, reason: int, *, of_key: bool = False) -> str:
    """A message with what helps whoever typed the command, and its reason at the end."""
    if reason == ErrorReason.ERROR_REASON_UNSPECIFIED:
        return message
    name = reason_name(reason)
    if of_key and name.startswith(("KEY_", "DOMAIN_", "RESOURCE_", "IDENTIFIER_")):
        message += " (see: coherd keys explain KEY)"
    return f"{message} [{name}]"
