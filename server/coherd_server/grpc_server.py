"""How gRPC is set up: options of its server, and the port it listens on."""

from __future__ import annotations

from typing import Final

import grpc
import grpc.aio

from coherd_server.setting_files import Tls
from coherd_server.settings import Settings

CONNECTION_AGE_MS: Final = 300_000
"""With several workers a connection is asked to move this often: a shared port pins connections to processes."""
MAX_STREAMS: Final = 2_000
"""Concurrent calls of one connection. gRPC's clients burst before they learn the limit, and what exceeds it is lost to
them without a reason of ours; so it is far above what our client uses, and `max_in_flight` bounds the work."""
KEEPALIVE_MS: Final = 30_000
KEEPALIVE_TIMEOUT_MS: Final = 20_000
"""A client that stands still, or is cut off, is pinged and then let go, with its session and what was read for it."""
MIN_PING_INTERVAL_MS: Final = 9_000
"""Clients may ping every 10 s, calls or not."""


class PortInUse(Exception):
    """The address cannot be listened on."""


def options_of(settings: Settings, *, share_port: bool) -> list[tuple[str, int]]:
    """The options of a gRPC server; ``share_port``: several processes listen on its port."""
    options = [
        ("grpc.so_reuseport", int(share_port)),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_allowed_incoming_connections", 10_000),
        ("grpc.server_handshake_timeout_ms", 10_000),
    ]
    if share_port:
        options += [("grpc.max_connection_age_ms", CONNECTION_AGE_MS), ("grpc.max_connection_age_grace_ms", 30_000)]
    return options


def listen(server: grpc.aio.Server, address: str, tls: Tls | None) -> int:
    """Listen on an address; the port, also where the address asks for a free one.

    Args:
        server: that has not started.
        address: ``host:port``.
        tls: None: without TLS.

    Raises:
        PortInUse: the address cannot be listened on.
    """
    try:
        if tls is None:
            port = server.add_insecure_port(address)
        else:
            credentials = grpc.ssl_server_credentials(
                [(tls.key, tls.chain)], tls.client_ca, require_client_auth=tls.client_ca is not None
            )
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        raise PortInUse(f"cannot listen on {address}: the port is in use, or not ours to take") from None
    if port == 0:
        raise PortInUse(f"cannot listen on {address}")
    return int(port)
