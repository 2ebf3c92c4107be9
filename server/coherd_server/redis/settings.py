"""Bounds of the Redis adapter, all validated where they are made."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Time-outs in milliseconds, sizes in items or bytes; every one is > 0.

    Raises:
        ValueError: a value is not positive, or ``deadline_ms`` is not above ``reply_timeout_ms``.
    """

    connections: int = 2
    """Connections per primary. More make smaller batches: less throughput, less waiting behind a large one."""
    connect_timeout_ms: int = 500
    """For the connect and, again, for the handshake on it."""
    reply_timeout_ms: int = 1000
    """From sending a batch to its last reply; also how long after sending a script still takes effect
    [node-time-deadline]."""
    deadline_ms: int = 2000
    """A call ends by then: waiting, redirections and repetition included."""
    check_every_ms: int = 1000
    """How often role, identity and clock of every connection, and the topology, are read again [node-identity]."""
    batch_items: int = 2000
    batch_bytes: int = 1 << 20
    """A batch takes nothing more once its payload has reached this; one item may be larger."""
    tombstone_ms: int = 60_000
    invalidated_epoch_ms: int = 3_600_000
    """Least lifetime of an epoch made by an invalidation."""
    log_length: int = 100_000
    """About how many entries of the log are kept."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(f"{field.name} must be above 0")
        if self.deadline_ms <= self.reply_timeout_ms:
            raise ValueError("deadline_ms must be above reply_timeout_ms")
