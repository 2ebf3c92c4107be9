"""What a client does about a service that fails: the numbers, given to `CacheClient.connect` once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coherd._rpc.sign_of_life import DEFAULT_SILENCE_MS, checked_silence
from coherd.contract.limits import whole_number

MAX_TOKENS: Final = 1_000
MAX_FAILURES: Final = 1_000_000
MIN_PROBE_MS: Final = 10
MAX_PROBE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """When a client stops asking, and when it asks again. Everything is counted per event loop.

    Raises:
        ValueError: a field is out of its range.
    """

    silence_ms: int = DEFAULT_SILENCE_MS
    """Longest silence of a server that owes an answer; then the client opens another connection. Range:
    500..2**31 - 1."""
    retry_tokens: int = 20
    """Size of the retry budget, the token bucket of gRFC A6. A call that the service fails takes a token, and a failed
    call is repeated only while more than half of them are left. Range: 1..1,000."""
    retry_refill: int = 10
    """Calls that succeed for one token that is put back. Range: 1..1,000."""
    breaker_failures: int = 5
    """Failures in a row, over at least 0.3 s, after which the circuit breaker opens: calls that can go on without the
    service are not sent. Range: 1..1,000,000."""
    probe_ms: int = 250
    """How often, while it is open, one call asks whether the service is back. Range: 10..60,000."""

    def __post_init__(self) -> None:
        checked_silence(self.silence_ms)
        whole_number("retry_tokens", self.retry_tokens, 1, MAX_TOKENS)
        whole_number("retry_refill", self.retry_refill, 1, MAX_TOKENS)
        whole_number("breaker_failures", self.breaker_failures, 1, MAX_FAILURES)
        whole_number("probe_ms", self.probe_ms, MIN_PROBE_MS, MAX_PROBE_MS)
