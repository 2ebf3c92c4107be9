"""Lease bytes: what is stored under ``coherd:lease:{<key>}`` while one caller loads [grant-time-stamps].

Format 2, big-endian::

    offset size  field
         0    1  format version = 2
         1   16  token, chosen by the caller, unique per load
        17    8  grant, chosen by the server, random and new with every grant
        25    8  granted at, unix milliseconds in the time of the key's node
        33    .  stamp block (`coherd_server.core.entry`): the epochs and nodes as they were before the load

Every later format keeps the first 25 bytes as they are: whoever holds a token can release it, and a lease that cannot
be read is respected until it expires [later-format].
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from coherd.contract.limits import GRANT_BYTES, TOKEN_BYTES
from coherd_server.core.entry import EntryFormatError

FORMAT_VERSION: Final = 2

_FIXED: Final = struct.Struct(">B16s8sQ")


class Lease(NamedTuple):
    """The right to load and fill a key."""

    token: bytes
    """`TOKEN_BYTES` bytes. Names the caller's load."""
    grant: bytes
    """`GRANT_BYTES` bytes. Names these stamps. A late copy of the request, behind the end of the lease, is granted
    anew, with later stamps and the token of a load that may still run; what that loaded must not get them (P1)."""
    granted_at_ms: int
    """Unix milliseconds in the time of the key's node."""
    block: bytes
    """Stamp block that a fill under this lease carries."""

    def encode(self) -> bytes:
        """Stored bytes.

        Raises:
            ValueError: token or grant has another length.
        """
        if len(self.token) != TOKEN_BYTES or len(self.grant) != GRANT_BYTES:
            raise ValueError(f"a token has {TOKEN_BYTES} bytes, a grant {GRANT_BYTES}")
        return _FIXED.pack(FORMAT_VERSION, self.token, self.grant, self.granted_at_ms) + self.block


def token_of(raw: bytes) -> bytes:
    """The token in stored bytes, of whatever format; empty if there is none."""
    return raw[1 : 1 + TOKEN_BYTES]


def is_later(raw: bytes) -> bool:
    """Whether stored bytes are a lease of a later format: somebody loads, with stamps that cannot be judged here."""
    return len(raw) > _FIXED.size and raw[0] > FORMAT_VERSION


def decode_lease(raw: bytes) -> Lease:
    """The lease in stored bytes.

    Raises:
        EntryFormatError: another format version, or bytes that end too early.
    """
    if len(raw) <= _FIXED.size:
        raise EntryFormatError("the lease ends too early")
    form, token, grant, granted_at_ms = _FIXED.unpack_from(raw)
    if form != FORMAT_VERSION:
        raise EntryFormatError(f"lease format {form} is not known to this version")
    return Lease(token, grant, granted_at_ms, raw[_FIXED.size :])
