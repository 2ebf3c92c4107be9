"""The rpcs of CacheService over `Verbs`: a request in, its answer out. Items of a batch are refused one by one.

Everything raises `coherd.contract.reasons.Refusal` and nothing else. A lease that waits is `MemoryTransport`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from google.protobuf.message import Message

from coherd.catalog import requests
from coherd.catalog.catalog import Catalog
from coherd.catalog.describe import describe
from coherd.contract.reasons import REASONS, Refusal
from coherd.testing.counts import Counts
from coherd.testing.verbs import Verbs
from coherd.v1 import cache_service_pb2 as pb

MAX_BATCH_ITEMS: Final = 10_000


class Rpcs:
    """What a server answers.

    Args:
        catalog: of the keys.
        verbs: do the work, item by item.
        counts: get what was measured.
    """

    def __init__(self, catalog: Catalog, verbs: Verbs, counts: Counts) -> None:
        self._catalog = catalog
        self._verbs = verbs
        self._counts = counts
        self.by_name: dict[str, Callable[[Any], Message]] = {
            "Get": self.get,
            "BatchGet": self.batch_get,
            "Set": self.set,
            "BatchSet": self.batch_set,
            "BatchLease": self.batch_lease,
            "Fill": verbs.fill,
            "BatchFill": self.batch_fill,
            "Delete": self.delete,
            "Touch": verbs.touch,
            "Invalidate": verbs.invalidate,
            "Metrics": verbs.metrics,
            "DescribeCatalog": self.describe_catalog,
        }
        """All that are answered at once, by the names they have in CacheService."""

    def get(self, request: pb.GetRequest) -> pb.GetResponse:
        """The value or a miss."""
        key = self._catalog.key_of(request.key)
        answer = self._verbs.get(key, accept_stale=request.accept_stale)
        self._counts.timed("read_latency", {key.domain.name})
        return answer

    def batch_get(self, request: pb.BatchGetRequest) -> pb.BatchGetResponse:
        """The value or a miss of every key."""
        requests.check_batch(len(request.keys), MAX_BATCH_ITEMS)
        answer = pb.BatchGetResponse()
        domains: set[str] = set()
        for message in request.keys:
            result = answer.results.add()
            try:
                key = self._catalog.key_of(message)
            except Refusal as refusal:
                result.error.CopyFrom(_item_error(refusal))
                continue
            got = self._verbs.get(key, accept_stale=request.accept_stale)
            domains.add(key.domain.name)
            if got.HasField("hit"):
                result.hit.CopyFrom(got.hit)
            else:
                result.miss.CopyFrom(got.miss)
        self._counts.timed("read_latency", domains)
        return answer

    def set(self, request: pb.SetRequest) -> pb.SetResponse:
        """Store a value."""
        answer = self._verbs.set(request)
        self._count_sets([(request, answer)])
        return answer

    def batch_set(self, request: pb.BatchSetRequest) -> pb.BatchSetResponse:
        """Store every value."""
        requests.check_batch(len(request.items), MAX_BATCH_ITEMS)
        answer = pb.BatchSetResponse()
        done: list[tuple[pb.SetRequest, pb.SetResponse]] = []
        for item in request.items:
            result = answer.results.add()
            try:
                stored = self._verbs.set(item)
            except Refusal as refusal:
                result.error.CopyFrom(_item_error(refusal))
            else:
                done.append((item, stored))
                result.set.CopyFrom(stored)
        self._count_sets(done)
        return answer

    def batch_lease(self, request: pb.BatchLeaseRequest) -> pb.BatchLeaseResponse:
        """A value, the lease, or that somebody else has it, of every key."""
        requests.check_batch_lease(request, MAX_BATCH_ITEMS)
        answer = pb.BatchLeaseResponse()
        for message in request.items:
            result = answer.results.add()
            try:
                item = requests.lease_item(self._catalog, message)
                leased = self._verbs.renew(item) if message.renew else self._verbs.lease(item)
            except Refusal as refusal:
                result.error.CopyFrom(_item_error(refusal))
                continue
            if not message.renew:
                self._verbs.count_lease(item, leased, waited=False)
            result.lease.CopyFrom(leased)
        return answer

    def batch_fill(self, request: pb.BatchFillRequest) -> pb.BatchFillResponse:
        """Store every value under its lease, or release that."""
        requests.check_batch(len(request.items), MAX_BATCH_ITEMS)
        answer = pb.BatchFillResponse()
        for item in request.items:
            result = answer.results.add()
            try:
                result.fill.CopyFrom(self._verbs.fill(item))
            except Refusal as refusal:
                result.error.CopyFrom(_item_error(refusal))
        return answer

    def delete(self, request: pb.DeleteRequest) -> pb.DeleteResponse:
        """Remove an entry."""
        return pb.DeleteResponse(existed=self._verbs.delete(self._catalog.key_of(request.key)))

    def describe_catalog(self, request: pb.DescribeCatalogRequest) -> pb.DescribeCatalogResponse:
        """What is declared."""
        return describe(self._catalog, request.domains)

    def _count_sets(self, done: Iterable[tuple[pb.SetRequest, pb.SetResponse]]) -> None:
        stored = [request for request, answer in done if answer.outcome == pb.SET_OUTCOME_STORED]
        self._counts.timed("write_latency", {self._catalog.key_of(each.key).domain.name for each in stored})


def _item_error(refusal: Refusal) -> pb.ItemError:
    return pb.ItemError(
        reason=refusal.reason,  # type: ignore[arg-type]
        message=str(refusal),
        field=refusal.field,
        retry_after_ms=REASONS[refusal.reason].retry_after_ms,
    )
