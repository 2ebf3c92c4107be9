"""Read TTL policies from the options of domains and resources."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from coherd.contract.ttl import DEFAULT_MAX_TTL_MS, PolicySource, TtlPolicy
from coherd.v1 import annotations_pb2


def read_policy(
    problems: list[str],
    where: str,
    option: annotations_pb2.Domain | annotations_pb2.Resource,
    inherited: TtlPolicy | None,
) -> TtlPolicy:
    """The policy of a domain, or of a resource that inherits from one; what is wrong is added to ``problems``."""
    declared = option.policy
    ttl_ms = _duration_ms(problems, f"{where}: ttl", option.ttl) if option.HasField("ttl") else None
    if inherited is None:
        if ttl_ms is None:
            problems.append(f"{where}: a domain needs a ttl")
            ttl_ms = DEFAULT_MAX_TTL_MS
        base = TtlPolicy(ttl_ms, max(DEFAULT_MAX_TTL_MS, ttl_ms))
    elif ttl_ms is not None:
        base = TtlPolicy(
            ttl_ms,
            max(inherited.max_ttl_ms, ttl_ms),
            inherited.stale_ms,
            inherited.negative_ms,
            inherited.jitter,
            inherited.early_refresh,
            PolicySource.RESOURCE,
        )
    else:
        base = inherited

    def pick(name: str, default: int) -> int:
        if not declared.HasField(name):
            return default
        return _duration_ms(problems, f"{where}: policy.{name}", getattr(declared, name))

    policy = TtlPolicy(
        base.ttl_ms,
        pick("max", base.max_ttl_ms),
        pick("stale", base.stale_ms),
        pick("negative", base.negative_ms),
        declared.jitter or base.jitter,
        declared.early_refresh or base.early_refresh,
        base.source,
    )
    try:
        policy.check()
    except ValueError as error:
        problems.append(f"{where}: {error}")
    return policy


def _duration_ms(problems: list[str], where: str, duration: Duration) -> int:
    if duration.nanos % 1_000_000:
        problems.append(f"{where}: durations are whole milliseconds")
    return duration.seconds * 1000 + duration.nanos // 1_000_000
