"""Read TTL policies from the options of domains and resources."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from google.protobuf.duration_pb2 import Duration

from coherd.contract.ttl import DEFAULT_MAX_TTL_MS, MAX_TTL_MS, PolicySource, TtlPolicy
from coherd.v1 import annotations_pb2

_UNKNOWN: Final = TtlPolicy(1, MAX_TTL_MS)
"""Stands for a policy that is wrong: what inherits from it is not wrong for that."""


def read_policy(
    problems: list[str],
    where: str,
    option: annotations_pb2.Domain | annotations_pb2.Resource,
    inherited: TtlPolicy | None,
) -> TtlPolicy:
    """The policy of a domain, or of a resource that inherits from one; what is wrong is added to ``problems``."""
    problems_before = len(problems)
    declared = option.policy
    ttl_ms = _duration_ms(problems, f"{where}: ttl", option.ttl) if option.HasField("ttl") else None
    if inherited is None and not option.HasField("ttl"):
        problems.append(f"{where}: a domain needs a ttl")
    if ttl_ms is None:
        base = _UNKNOWN if inherited is None or len(problems) > problems_before else inherited
    elif inherited is None:
        base = TtlPolicy(ttl_ms, max(DEFAULT_MAX_TTL_MS, ttl_ms))
    else:
        longest_ms = max(inherited.max_ttl_ms, ttl_ms)
        base = replace(inherited, ttl_ms=ttl_ms, max_ttl_ms=longest_ms, source=PolicySource.RESOURCE)

    def pick(name: str, default: int) -> int:
        if not declared.HasField(name):
            return default
        duration_ms = _duration_ms(problems, f"{where}: policy.{name}", getattr(declared, name))
        return default if duration_ms is None else duration_ms

    policy = replace(
        base,
        max_ttl_ms=pick("max", base.max_ttl_ms),
        stale_ms=pick("stale", base.stale_ms),
        negative_ms=pick("negative", base.negative_ms),
        jitter=declared.jitter or base.jitter,
        early_refresh=declared.early_refresh or base.early_refresh,
    )
    try:
        policy.check()
    except ValueError as error:
        problems.append(f"{where}: {error}")
    return policy if len(problems) == problems_before else _UNKNOWN


def _duration_ms(problems: list[str], where: str, duration: Duration) -> int | None:
    seconds, nanos = duration.seconds, duration.nanos
    if not -1_000_000_000 < nanos < 1_000_000_000 or seconds * nanos < 0:
        problems.append(f"{where}: nanos must be below a second, with the sign of the seconds")
    elif nanos % 1_000_000:
        problems.append(f"{where}: durations are whole milliseconds")
    else:
        return seconds * 1000 + nanos // 1_000_000
    return None
