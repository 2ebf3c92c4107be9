"""Lease bytes: one form, and all else is no lease."""

from __future__ import annotations

import pytest

from coherd.contract.limits import GRANT_BYTES, TOKEN_BYTES
from coherd_server.core.entry import EntryFormatError, Stamp, stamp_block
from coherd_server.core.lease_bytes import Lease, decode_lease, token_of

TOKEN, GRANT = b"T" * TOKEN_BYTES, b"G" * GRANT_BYTES
LEASE = Lease(TOKEN, GRANT, 1754438400000, stamp_block(b"K" * 8, [Stamp("@", b"E" * 8, b"K" * 8)]))
STORED = bytes.fromhex("02" + "54" * 16 + "47" * 8 + "000001987cad7800") + LEASE.block


def test_the_form_is_what_is_stored() -> None:
    assert LEASE.encode() == STORED
    assert decode_lease(STORED) == LEASE
    assert token_of(STORED) == TOKEN


def test_a_lease_of_format_1_is_none() -> None:
    """It has no grant, so nothing could be filled under it. Its token can still be released."""
    old = b"\1" + TOKEN + STORED[25:]
    with pytest.raises(EntryFormatError, match="format 1"):
        decode_lease(old)
    assert token_of(old) == TOKEN


@pytest.mark.parametrize("size", range(34))
def test_a_lease_that_ends_too_early_is_none(size: int) -> None:
    with pytest.raises(EntryFormatError, match="too early"):
        decode_lease(STORED[:size])


@pytest.mark.parametrize(
    "lease", [LEASE._replace(token=b"short"), LEASE._replace(grant=b""), LEASE._replace(grant=TOKEN)]
)
def test_token_and_grant_have_their_lengths(lease: Lease) -> None:
    with pytest.raises(ValueError, match="bytes"):
        lease.encode()
