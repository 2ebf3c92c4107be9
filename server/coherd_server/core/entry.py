"""Entry bytes: what Coherd stores under a key (docs/internals/storage.md).

Format 1, big-endian::

    offset size  field
         0    3  magic F5 43 48 (F5 never occurs in UTF-8: no text, JSON or pickle starts with it)
         3    1  format version = 1
         4    1  flags: 1 negative, 2 versioned, 4 tombstone, 8 extra tags
         5    3  reserved, 0
         8    8  item version (0 unless versioned)
        16    8  written at, unix milliseconds in the time of the key's node
        24    8  fresh until, same clock
        32    4  stale: milliseconds after `fresh until` during which the value may be served as stale
        36    4  load time, milliseconds (0: unknown), for early refresh
        40    2  length of the stamp block
        42    .  stamp block: number n >= 1 of identities (1 byte), n identities of 8 bytes, then per stamp
                     2  length of the reference
                     .  reference (see `coherd.contract.tags`), UTF-8
                     1  index of the identity of the node that holds the epoch
                     8  epoch
         .    .  payload: a serialized value message, never interpreted here

Every later format keeps the first 16 bytes as they are, so that an older server can delete and replace what it cannot
read, and no item version is lost by that [later-format]. A bit of the flags that this version does not know changes
neither validity nor payload; what does is a later format.

The stamp block is canonical: identities in order of first use, the key's node first; stamps in the order of the
key's tags, extra tags sorted behind them. A reader that knows the current epochs therefore builds the block it expects
and compares bytes (`stamp_block`), and parses only when that fails.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

MAGIC: Final = b"\xf5CH"
FORMAT_VERSION: Final = 1
EPOCH_BYTES: Final = 8
IDENTITY_BYTES: Final = 8
FIXED_BYTES: Final = 42
"""Bytes before the stamp block."""

_FIXED: Final = struct.Struct(">3sBB3xQQQIIH")
_REF: Final = struct.Struct(">H")
_UINT32_MAX: Final = 2**32 - 1


class Flags(enum.IntFlag):
    """Bits of the flags byte."""

    NONE = 0
    NEGATIVE = 1
    """A remembered "there is nothing"; the payload is empty."""
    VERSIONED = 2
    """The writer gave an item version."""
    TOMBSTONE = 4
    """Left by a delete of a versioned entry: holds only the version, is never served."""
    EXTRA_TAGS = 8
    """Carries tags beyond those the key gives it."""


_FLAGS: Final = tuple(Flags(byte) for byte in range(256))
"""By their byte: to make them anew would cost a third of reading a header."""


class Stamp(NamedTuple):
    """One tag as it was before the value was loaded."""

    ref: str
    """Reference of the tag relative to the key, see `coherd.contract.tags`."""
    epoch: bytes
    """`EPOCH_BYTES` random bytes."""
    identity: bytes
    """`IDENTITY_BYTES`: the node that held the epoch."""


class Times(NamedTuple):
    """The times of an entry; unix milliseconds in the time of the key's node, or durations in milliseconds."""

    written_at_ms: int
    fresh_until_ms: int
    stale_ms: int = 0
    load_ms: int = 0

    @property
    def stale_until_ms(self) -> int:
        """End of the time in which the value may be served as stale."""
        return self.fresh_until_ms + self.stale_ms


_new: Final = tuple.__new__
"""Makes a named tuple without the call of its constructor, which costs as much as all else on the way of a read."""


class Header(NamedTuple):
    """Everything of an entry but its payload."""

    flags: Flags
    version: int
    """Item version; 0 unless `Flags.VERSIONED`."""
    times: Times
    block: bytes
    """The stamp block, as stored."""
    size: int
    """Length of the header in bytes: where the payload begins."""

    @property
    def extra_refs(self) -> list[str]:
        """References of the extra tags (those with ``=``)."""
        return [stamp.ref for stamp in self.stamps if "=" in stamp.ref]

    @property
    def key_identity(self) -> bytes:
        """Identity of the node that held the key."""
        return self.block[1 : 1 + IDENTITY_BYTES]

    @property
    def stamps(self) -> list[Stamp]:
        """The stamps, in stored order."""
        return parse_block(self.block)


class EntryFormatError(ValueError):
    """The bytes carry our magic but are not an entry this version can read. Holds no payload."""


class LaterFormat(EntryFormatError):
    """The entry is of a later format than this version's."""


KEPT_BYTES: Final = 16
"""What every format begins with: magic, format version, flags, item version."""


ONE_IDENTITY: Final = b"\1"
"""What `stamp_block` begins with where the key's node holds every epoch. The node's identity follows, and start
(`coherd.contract.tags.stamp_start`) and epoch of each stamp, in turn."""


def stamp_block(key_identity: bytes, stamps: Iterable[Stamp]) -> bytes:
    """The canonical stamp block for a key held by ``key_identity`` and its ``stamps`` in order."""
    table = [key_identity]
    records: list[bytes] = []
    for ref, epoch, identity in stamps:
        if identity == key_identity:
            index = 0
        elif identity in table:
            index = table.index(identity)
        else:
            index = len(table)
            table.append(identity)
        raw = ref.encode()
        records.append(b"%b%b%c%b" % (_REF.pack(len(raw)), raw, index, epoch))
    return b"%c%b%b" % (len(table), b"".join(table), b"".join(records))


def encode_header(*, flags: Flags, version: int, times: Times, block: bytes) -> bytes:
    """Header bytes.

    Raises:
        ValueError: a number does not fit its field, or the block is longer than 65,535 bytes.
    """
    if not 0 <= version < 2**64:
        raise ValueError("item version must be in 0..2**64-1")
    if not (0 <= times.stale_ms <= _UINT32_MAX and times.load_ms >= 0):
        raise ValueError("stale and load time must be in 0..2**32-1 ms")
    try:
        return (
            _FIXED.pack(
                MAGIC,
                FORMAT_VERSION,
                flags,
                version,
                times.written_at_ms,
                times.fresh_until_ms,
                times.stale_ms,
                min(times.load_ms, _UINT32_MAX),
                len(block),
            )
            + block
        )
    except struct.error as error:
        raise ValueError(f"entry header out of range: {error}") from None


def plain_header(written_at_ms: int, fresh_until_ms: int, stale_ms: int, load_ms: int, block: bytes) -> bytes:
    """The header of an entry without flags, as `encode_header` writes it.

    Raises:
        ValueError: a number does not fit its field, or the block is longer than 65,535 bytes.
    """
    try:
        load_ms = load_ms if load_ms < _UINT32_MAX else _UINT32_MAX
        size = len(block)
        return _FIXED.pack(MAGIC, FORMAT_VERSION, 0, 0, written_at_ms, fresh_until_ms, stale_ms, load_ms, size) + block
    except struct.error as error:
        raise ValueError(f"entry header out of range: {error}") from None


def is_ours(raw: bytes) -> bool:
    """Whether the bytes carry our magic. Foreign bytes are a counted miss and never touched."""
    return raw.startswith(MAGIC)


def decode_header(raw: bytes) -> Header:
    """Read the header of stored bytes that carry our magic.

    Raises:
        LaterFormat: it is of a later format.
        EntryFormatError: unknown format version, or bytes that end inside the header.
    """
    if len(raw) >= KEPT_BYTES and raw[3] > FORMAT_VERSION:
        raise LaterFormat(f"entry format {raw[3]} is later than this version's")
    if len(raw) < FIXED_BYTES:
        raise EntryFormatError("entry ends inside its header")
    _, form, flags, version, written, fresh, stale, load, block_bytes = _FIXED.unpack_from(raw)
    if form != FORMAT_VERSION:
        raise EntryFormatError(f"entry format {form} is not known to this version")
    size = FIXED_BYTES + block_bytes
    if len(raw) < size or block_bytes <= IDENTITY_BYTES:
        raise EntryFormatError("entry ends inside its stamps")
    times = _new(Times, (written, fresh, stale, load))
    return _new(Header, (_FLAGS[flags], version, times, raw[FIXED_BYTES:size], size))


PLAIN_START: Final = _FIXED.pack(MAGIC, FORMAT_VERSION, 0, 0, 0, 0, 0, 0, 0)[:16]
"""What an entry without flags begins with, its item version included."""
MAX_FRESH_MS: Final = 2**63 - 1
"""No plain entry is fresh until later."""
PLAIN_FIELDS: Final = struct.Struct(">QQIIH")
"""What follows in it: written at, fresh until, stale and load time, length of the stamp block."""


def decode_plain_header(raw: bytes) -> Header | None:
    """As `decode_header`, of the entries that nearly all are: without flags. None for all others, for damaged ones, and
    for those that would be fresh for longer than 63 bits of milliseconds."""
    if raw[:16] != PLAIN_START or len(raw) < FIXED_BYTES:
        return None
    written, fresh, stale, load, block_bytes = PLAIN_FIELDS.unpack_from(raw, 16)
    size = FIXED_BYTES + block_bytes
    if len(raw) < size or block_bytes <= IDENTITY_BYTES or fresh > MAX_FRESH_MS:
        return None
    return _new(Header, (Flags.NONE, 0, _new(Times, (written, fresh, stale, load)), raw[FIXED_BYTES:size], size))


def parse_block(block: bytes) -> list[Stamp]:
    """The stamps in a stamp block, in stored order.

    Raises:
        EntryFormatError: the block is damaged.
    """
    at = 1 + block[0] * IDENTITY_BYTES
    identities = [block[i : i + IDENTITY_BYTES] for i in range(1, at, IDENTITY_BYTES)]
    stamps: list[Stamp] = []
    try:
        while at < len(block):
            end = at + 2 + _REF.unpack_from(block, at)[0]
            epoch = block[end + 1 : end + 1 + EPOCH_BYTES]
            stamps.append(Stamp(block[at + 2 : end].decode(), epoch, identities[block[end]]))
            at = end + 1 + EPOCH_BYTES
    except (IndexError, struct.error, UnicodeDecodeError):
        raise EntryFormatError("the stamps of the entry are damaged") from None
    if at != len(block) or not identities:
        raise EntryFormatError("the stamps of the entry are damaged")
    return stamps
