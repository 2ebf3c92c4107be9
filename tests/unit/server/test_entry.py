"""Entry bytes: every released form is read for ever, one entry has one form, damaged bytes are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd_server.core.entry import (
    FIXED_BYTES,
    MAGIC,
    EntryFormatError,
    Flags,
    Header,
    Stamp,
    Times,
    decode_header,
    decode_plain_header,
    encode_header,
    is_ours,
    plain_header,
    stamp_block,
)

KEY_NODE = bytes(range(1, 9))
OTHER_NODE = bytes(range(11, 19))

RELEASED = {
    "versioned with an extra tag": (
        "f54348010a0000000000000000000007000001987cad7800000001987ce46680000927c0000000fa0050"
        "0201020304050607080b0c0d0e0f101112000140004545454545454545"
        "00013a01464646464646464600047573657201474747474747474700"
        "0d636f6e74656e743d63253341310048484848484848480a027b7d",
        Flags.VERSIONED | Flags.EXTRA_TAGS,
        7,
        Times(1754438400000, 1754442000000, 600000, 250),
        [
            Stamp("@", b"E" * 8, KEY_NODE),
            Stamp(":", b"F" * 8, OTHER_NODE),
            Stamp("user", b"G" * 8, OTHER_NODE),
            Stamp("content=c%3A1", b"H" * 8, KEY_NODE),
        ],
        b"\x0a\x02{}",
    ),
    "remembered nothing": (
        "f5434801010000000000000000000000000001987cad7800000001987caded3000000000000000000025"
        "0101020304050607080001400045454545454545450005646174652a004646464646464646",
        Flags.NEGATIVE,
        0,
        Times(1754438400000, 1754438430000),
        [Stamp("@", b"E" * 8, KEY_NODE), Stamp("date*", b"F" * 8, KEY_NODE)],
        b"",
    ),
    "tombstone": (
        "f5434801060000007fffffffffffffff000001987cad7800000001987caded3000000000000000000015"
        "010102030405060708000140004545454545454545",
        Flags.TOMBSTONE | Flags.VERSIONED,
        2**63 - 1,
        Times(1754438400000, 1754438430000),
        [Stamp("@", b"E" * 8, KEY_NODE)],
        b"",
    ),
}
"""Format 1 as released. Never change these: entries like them are stored."""

refs = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
eight_bytes = st.binary(min_size=8, max_size=8)
nodes = st.sampled_from([KEY_NODE, OTHER_NODE, b"third..."])
stamps = st.lists(st.builds(Stamp, refs, eight_bytes, nodes), max_size=6)
uint32 = st.integers(0, 2**32 - 1)
uint64 = st.integers(0, 2**64 - 1)
times = st.builds(Times, uint64, uint64, uint32, uint32)
flags = st.integers(0, 15).map(Flags)


@pytest.mark.parametrize(
    ("stored", "flags_", "version", "times_", "stamps_", "payload"), RELEASED.values(), ids=RELEASED
)
def test_released_forms_are_read_and_written_as_ever(
    stored: str, flags_: Flags, version: int, times_: Times, stamps_: list[Stamp], payload: bytes
) -> None:
    raw = bytes.fromhex(stored)
    header = decode_header(raw)
    assert is_ours(raw)
    assert (header.flags, header.version, header.times) == (flags_, version, times_)
    assert header.stamps == stamps_
    assert header.key_identity == KEY_NODE
    assert raw[header.size :] == payload
    block = stamp_block(KEY_NODE, stamps_)
    assert encode_header(flags=flags_, version=version, times=times_, block=block) + payload == raw


def test_extra_references() -> None:
    assert decode_header(bytes.fromhex(RELEASED["versioned with an extra tag"][0])).extra_refs == ["content=c%3A1"]
    assert decode_header(bytes.fromhex(RELEASED["remembered nothing"][0])).times.stale_until_ms == 1754438430000


@given(flags, uint64, times, nodes, stamps, st.binary(max_size=40))
def test_what_is_written_is_read(
    flags_: Flags, version: int, times_: Times, node: bytes, stamps_: list[Stamp], payload: bytes
) -> None:
    block = stamp_block(node, stamps_)
    header = encode_header(flags=flags_, version=version, times=times_, block=block)
    found = decode_header(header + payload)
    assert found == Header(flags_, version, times_, block, len(header))
    assert found.stamps == stamps_
    assert found.key_identity == node
    assert stamp_block(found.key_identity, found.stamps) == block


@given(nodes, stamps, stamps)
def test_blocks_are_canonical(node: bytes, one: list[Stamp], other: list[Stamp]) -> None:
    assert (stamp_block(node, one) == stamp_block(node, other)) == (one == other)


def read_all(raw: bytes) -> None:
    """Look at everything a reader looks at."""
    header = decode_header(raw)
    assert header.size <= len(raw)
    assert len(header.key_identity) == 8
    assert all(len(stamp.epoch) == len(stamp.identity) == 8 for stamp in header.stamps)
    assert header.extra_refs is not None


@given(st.binary(max_size=120))
def test_garbage_behind_the_magic_is_told_and_nothing_else(garbage: bytes) -> None:
    for raw in (MAGIC + garbage, MAGIC + b"\x01" + garbage):
        try:
            read_all(raw)
        except EntryFormatError:
            continue


@given(st.integers(0, 42), st.sampled_from(sorted(RELEASED)), st.binary(max_size=60))
def test_a_damaged_block_is_told_and_nothing_else(at: int, name: str, garbage: bytes) -> None:
    raw = bytes.fromhex(RELEASED[name][0])
    try:
        read_all(raw[: FIXED_BYTES + at] + garbage)
        read_all(raw[: FIXED_BYTES + at] + garbage + raw[FIXED_BYTES + at + len(garbage) :])
    except EntryFormatError:
        return


@pytest.mark.parametrize("name", RELEASED)
def test_every_truncation_of_the_header_is_told(name: str) -> None:
    raw = bytes.fromhex(RELEASED[name][0])
    for size in range(decode_header(raw).size):
        with pytest.raises(EntryFormatError):
            decode_header(raw[:size])


@pytest.mark.parametrize("shorter_by", range(1, 12))
def test_a_block_that_ends_inside_a_stamp_is_told(shorter_by: int) -> None:
    block = stamp_block(KEY_NODE, [Stamp("user", b"E" * 8, OTHER_NODE)])[:-shorter_by]
    header = decode_header(encode_header(flags=Flags.NONE, version=0, times=Times(1, 2), block=block))
    with pytest.raises(EntryFormatError, match="damaged"):
        _ = header.stamps


@pytest.mark.parametrize("form", [0, 2, 255])
def test_other_formats_are_not_guessed_at(form: int) -> None:
    raw = bytearray(bytes.fromhex(RELEASED["tombstone"][0]))
    raw[3] = form
    with pytest.raises(EntryFormatError, match=f"format {form}"):
        decode_header(bytes(raw))


@pytest.mark.parametrize("foreign", [b"", b"\xf5", b"{}", b"\x80\x04\x95", b"text", b"\xf5CI\x01"])
def test_foreign_bytes_are_not_ours(foreign: bytes) -> None:
    assert not is_ours(foreign)


@pytest.mark.parametrize(
    ("version", "times_", "block"),
    [
        (-1, Times(0, 0), b"b"),
        (2**64, Times(0, 0), b"b"),
        (0, Times(0, 0, stale_ms=2**32), b"b"),
        (0, Times(0, 0, stale_ms=-1), b"b"),
        (0, Times(0, 0, load_ms=-1), b"b"),
        (0, Times(-1, 0), b"b"),
        (0, Times(0, 2**64), b"b"),
        (0, Times(0, 0), b"b" * 65_536),
    ],
)
def test_numbers_that_do_not_fit_are_refused(version: int, times_: Times, block: bytes) -> None:
    with pytest.raises(ValueError, match=r"must be in|out of range"):
        encode_header(flags=Flags.NONE, version=version, times=times_, block=block)


def test_a_long_load_is_written_as_the_longest_there_is() -> None:
    raw = encode_header(flags=Flags.NONE, version=0, times=Times(0, 0, load_ms=2**40), block=stamp_block(KEY_NODE, []))
    assert decode_header(raw).times.load_ms == 2**32 - 1


def test_the_longest_block_there_is() -> None:
    block = stamp_block(KEY_NODE, [Stamp("x" * 65_515, b"E" * 8, KEY_NODE)])
    assert len(block) == 65_535
    header = decode_header(encode_header(flags=Flags.NONE, version=0, times=Times(1, 2), block=block))
    assert header.block == block
    assert len(header.stamps[0].ref) == 65_515


@given(flags, st.sampled_from([0, 1, 2**64 - 1]), times, nodes, stamps, st.binary(max_size=20))
def test_the_short_way_reads_what_the_long_way_reads(
    flags_: Flags, version: int, times_: Times, node: bytes, stamps_: list[Stamp], payload: bytes
) -> None:
    """Where it answers at all; what has flags, an item version or damage is left to the long way."""
    raw = encode_header(flags=flags_, version=version, times=times_, block=stamp_block(node, stamps_))
    plain = decode_plain_header(raw + payload)
    header = decode_header(raw + payload)
    if header.flags or header.version or header.times.fresh_until_ms >= 2**63:
        assert plain is None
    else:
        assert plain == header
    for cut in range(0, len(raw), 7):
        assert decode_plain_header(raw[:cut]) is None


@given(
    st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**40), st.binary()
)
def test_a_plain_header_is_the_header_of_an_entry_without_flags(
    written: int, fresh: int, stale: int, load: int, block: bytes
) -> None:
    times = Times(written, fresh, stale, load)
    assert plain_header(written, fresh, stale, load, block) == encode_header(
        flags=Flags.NONE, version=0, times=times, block=block
    )
    with pytest.raises(ValueError, match="out of range"):
        plain_header(written, -1, stale, load, block)
