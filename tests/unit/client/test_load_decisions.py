"""What loading decides, without clock and transport."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest

from coherd import ErrorReason, LoadLimits, LoadPolicy, OpenKey
from coherd._loading import decide
from coherd._loading.policy import LoadOptions
from coherd.domains import content
from coherd.errors import (
    ClientClosed,
    Contended,
    DeadlineExceeded,
    ForeignValue,
    InvalidRequest,
    LoadTimeout,
    NotPermitted,
    OutcomeUnknown,
    ServerDefect,
    StoreFull,
    Unavailable,
)

WAIT = LoadPolicy(stale="wait")
KEY = content.Topics(user="u1")


@pytest.mark.parametrize(
    ("policy", "stale", "early", "expected"),
    [
        (LoadPolicy(), True, False, True),
        (LoadPolicy(), False, False, False),
        (WAIT, True, False, False),
        (WAIT, True, True, True),
    ],
)
def test_what_is_served_at_once(policy: LoadPolicy, stale: bool, early: bool, expected: bool) -> None:
    assert decide.serves_at_once(policy, stale=stale, early=early) is expected


@pytest.mark.parametrize(
    ("policy", "stale", "expected"),
    [
        (LoadPolicy(), False, (9.0, False)),
        (LoadPolicy(soft_timeout_ms=500), False, (9.0, False)),
        (LoadPolicy(soft_timeout_ms=500), True, (1.5, True)),
        (LoadPolicy(soft_timeout_ms=50_000), True, (9.0, True)),
        (LoadPolicy(on_load_error="raise"), True, (9.0, False)),
        (LoadPolicy(on_load_error="raise", soft_timeout_ms=500), True, (1.5, True)),
    ],
)
def test_patience(policy: LoadPolicy, stale: bool, expected: tuple[float, bool]) -> None:
    assert decide.patience(policy, started_s=1.0, hard_s=9.0, stale=stale) == expected


def test_a_failed_load_falls_back_on_what_is_stale() -> None:
    assert decide.falls_back(WAIT, KeyError(), stale=True)
    assert decide.falls_back(WAIT, LoadTimeout(), stale=True)
    assert not decide.falls_back(WAIT, KeyError(), stale=False)
    assert not decide.falls_back(WAIT, ClientClosed(), stale=True)
    assert not decide.falls_back(LoadPolicy(on_load_error="raise"), KeyError(), stale=True)


@pytest.mark.parametrize("error", [Unavailable(), DeadlineExceeded(), OutcomeUnknown(), StoreFull(), Contended()])
def test_an_absent_service_opens_or_closes(error: Exception) -> None:
    assert decide.loads_directly(LoadPolicy(), KEY, error)
    assert not decide.loads_directly(LoadPolicy(on_unavailable="raise"), KEY, error)


def test_mistakes_do_not_open_and_foreign_bytes_always_do() -> None:
    for error in (InvalidRequest(), NotPermitted(), ServerDefect(), ClientClosed()):
        assert not decide.loads_directly(LoadPolicy(), KEY, error)
    assert decide.loads_directly(LoadPolicy(on_unavailable="raise"), KEY, ForeignValue())


@pytest.mark.parametrize(
    ("reason", "ahead"),
    [
        ("DOMAIN_UNKNOWN", True),
        ("RESOURCE_UNKNOWN", True),
        ("IDENTIFIER_INVALID", True),
        ("KEY_INVALID", True),
        ("TAG_INVALID", True),
        ("TTL_INVALID", False),
        ("REQUEST_INVALID", False),
    ],
)
def test_what_an_older_catalog_refuses_opens_for_keys_of_classes(reason: str, ahead: bool) -> None:
    error = InvalidRequest(reason=ErrorReason.Value(f"ERROR_REASON_{reason}"))
    assert decide.loads_directly(LoadPolicy(), KEY, error) is ahead
    assert not decide.loads_directly(LoadPolicy(on_unavailable="raise"), KEY, error)
    assert not decide.loads_directly(LoadPolicy(), OpenKey("content", "drafts"), error)


def test_polls_are_spread_and_bounded() -> None:
    assert decide.poll_pause_ms(0, 0.0) == decide.POLL_MS * 0.5
    assert decide.poll_pause_ms(60_000, 0.999) < decide.POLL_MS * 1.5
    assert decide.poll_pause_ms(20, 0.5) == 20
    assert decide.renew_every_ms(900) == 300


@pytest.mark.parametrize(
    "wrong",
    [
        {"stale": "never"},
        {"on_load_error": "none"},
        {"on_unavailable": "miss"},
        {"soft_timeout_ms": -1},
        {"load_timeout_ms": 0},
        {"lease_ms": 9},
        {"lease_ms": 600_001},
        {"error_pause_ms": -1},
        {"error_pause_ms": 600_001},
    ],
)
def test_policies_out_of_range_name_the_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LoadPolicy(**wrong)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LoadPolicy().override(wrong)  # type: ignore[arg-type]


def test_limits_out_of_range_name_the_field() -> None:
    with pytest.raises(ValueError, match="max_direct_loads"):
        LoadLimits(max_direct_loads=0)
    with pytest.raises(ValueError, match="max_background_loads"):
        LoadLimits(max_background_loads=-1)


def test_options_of_a_call_are_the_fields_of_the_policy() -> None:
    assert get_type_hints(LoadOptions) == get_type_hints(LoadPolicy)
    assert LoadPolicy().override({"lease_ms": 50}) == LoadPolicy(lease_ms=50)
