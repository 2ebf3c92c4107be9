"""A catalog survives the way through a server's description."""

from __future__ import annotations

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import Kind
from coherd.catalog.describe import catalog_of, describe
from coherd.catalog.load import builtin_catalog
from coherd.catalog.overrides import TtlOverride, with_overrides
from coherd.contract.ttl import PolicySource
from coherd.v1.cache_service_pb2 import DescribeCatalogResponse

KEYS = (
    "analytics:writing_stats:user:user123:days:30d",
    "maintenance:cleanup_report:date:20250806",
    "celery:task_metrics:id:t1",
    "content:drafts:user:u1:list",
    "ai_model:prompt:hash:xyz789:model:gpt4",
)


def through_the_wire(catalog: Catalog) -> Catalog:
    return catalog_of(DescribeCatalogResponse.FromString(describe(catalog, ()).SerializeToString()))


def test_the_same_follows_from_a_key() -> None:
    original, described = builtin_catalog(), through_the_wire(builtin_catalog())
    assert list(described.domains) == list(original.domains)
    assert described.fingerprint == original.fingerprint
    for text in KEYS:
        found, wanted = described.resolve(text), original.resolve(text)
        assert found.tags == wanted.tags
        assert found.policy == wanted.policy
        assert found.domain.near_cache is wanted.domain.near_cache
        assert found.domain.on_failover is wanted.domain.on_failover


def test_identifiers_keep_type_and_range() -> None:
    described = through_the_wire(builtin_catalog()).domains["analytics"].resources["writing_stats"].identifiers[1]
    original = builtin_catalog().domains["analytics"].resources["writing_stats"].identifiers[1]
    assert (described.kind, described.low, described.high, described.unit) == (Kind.INTEGER, 0, 2**32 - 1, "d")
    assert described.type_name == original.type_name


def test_named_invalidations() -> None:
    original, described = builtin_catalog(), through_the_wire(builtin_catalog())
    assert described.invalidations == original.invalidations


def test_overrides_show() -> None:
    catalog = with_overrides(builtin_catalog(), {"analytics:daily": TtlOverride(ttl_ms=60_000)})
    policy = through_the_wire(catalog).resolve("analytics:daily:user:u1:date:20250806").policy
    assert (policy.ttl_ms, policy.source) == (60_000, PolicySource.OPERATOR)
