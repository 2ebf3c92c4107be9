"""`coherd.v1.CacheService`: each rpc checks access, calls the domain, and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from coherd.catalog.catalog import Catalog, ResolvedKey
from coherd.catalog.declared import DomainSpec
from coherd.catalog.describe import describe
from coherd.contract.reasons import Refusal
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import Access, Action
from coherd_server.core.cache import Cache
from coherd_server.core.failure import Failure, refused
from coherd_server.core.leasing import MAX_WAIT_MS, Granted, Held
from coherd_server.core.reading import Lookup
from coherd_server.core.report import Reporter
from coherd_server.core.set_item import SetItem
from coherd_server.core.writing import MAX_TURN_MS
from coherd_server.rpc import wire
from coherd_server.rpc.domain_metrics import domain_metrics
from coherd_server.rpc.endpoint import Call, not_served
from coherd_server.rpc.errors import Failed, item_error

T = TypeVar("T")
READ_PART: Final = 256
"""Keys of a batch that are read at one time."""
MAX_SELECTORS: Final = 100
"""Most selectors of one Invalidate."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a request."""

    batch_items: int = 10_000
    message_bytes: int = 16 << 20


class CacheRpcs:
    """The rpcs, named as in the service. Each takes a request and its caller, and returns a response or raises."""

    def __init__(self, cache: Cache, catalog: Catalog, access: Access, reporter: Reporter, limits: Limits) -> None:
        self._cache = cache
        self._catalog = catalog
        self._access = access
        self._reporter = reporter
        self._limits = limits

    async def Get(self, request: pb.GetRequest, call: Call) -> pb.GetResponse:
        key = self._allowed(self._catalog.key_of(request.key), call, Action.READ)
        found = _must(await self._cache.coalescer.get(key, accept_stale=request.accept_stale))
        response = pb.GetResponse()
        wire.fill_get(response, found, request.accept_stale)
        return response

    async def BatchGet(self, request: pb.BatchGetRequest, call: Call) -> pb.BatchGetResponse:
        self._check_batch(len(request.keys))
        failures: dict[int, Failure] = {}
        resolved: list[ResolvedKey] = []
        for index, key in enumerate(request.keys):
            try:
                resolved.append(self._allowed(self._catalog.key_of(key), call, Action.READ))
            except Refusal as refusal:
                failures[index] = refused(refusal)
        found = iter(await self._read(resolved, request.accept_stale))
        response = pb.BatchGetResponse()
        add = response.results.add
        for index in range(len(request.keys)):
            one = failures.get(index) or next(found)
            if isinstance(one, Lookup):
                result = add()
                if wire.fill_get(result, one, request.accept_stale):
                    call.keep_near(result.hit, one)
            else:
                add().error.CopyFrom(item_error(one))
        return response

    async def _read(self, keys: Sequence[ResolvedKey], accept_stale: bool) -> list[Lookup | Failure]:
        """What is stored under many keys, in parts, so that an answer that is too long is noticed early."""
        found: list[Lookup | Failure] = []
        size = 0
        for at in range(0, len(keys), READ_PART):
            part = await self._cache.reads.get(keys[at : at + READ_PART], accept_stale=accept_stale)
            found += part
            size += sum(len(one.validity.raw) for one in part if isinstance(one, Lookup))
            if size > self._limits.message_bytes:
                raise Refusal(
                    ErrorReason.ERROR_REASON_ANSWER_TOO_LARGE,
                    f"the answer is over the server's max_message_bytes of {self._limits.message_bytes}; ask for less",
                )
        return found

    async def Set(self, request: pb.SetRequest, call: Call) -> pb.SetResponse:
        item = self._set_item(request, call)
        return wire.set_response(_must(await self._cache.coalescer.set(item, turn_ms=call.wait_ms(MAX_TURN_MS))))

    async def BatchSet(self, request: pb.BatchSetRequest, call: Call) -> pb.BatchSetResponse:
        self._check_batch(len(request.items))
        failures: dict[int, Failure] = {}
        items: list[SetItem] = []
        for index, one in enumerate(request.items):
            try:
                items.append(self._set_item(one, call))
            except Refusal as refusal:
                failures[index] = refused(refusal)
        turns_ms = [call.wait_ms(MAX_TURN_MS)] * len(items)
        done = iter(await self._cache.writes.set(items, turns_ms=turns_ms) if items else ())
        response = pb.BatchSetResponse()
        for index in range(len(request.items)):
            outcome = failures.get(index) or next(done)
            if isinstance(outcome, Failure):
                response.results.add().error.CopyFrom(item_error(outcome))
            else:
                response.results.add().set.CopyFrom(wire.set_response(outcome))
        return response

    async def Lease(self, request: pb.LeaseRequest, call: Call) -> pb.LeaseResponse:
        return _must(await self._lease(request, call))

    async def BatchLease(self, request: pb.BatchLeaseRequest, call: Call) -> pb.BatchLeaseResponse:
        self._check_batch(len(request.items))
        if any(item.wait_ms for item in request.items):
            raise Refusal(ErrorReason.ERROR_REASON_REQUEST_INVALID, "a batch of leases does not wait", field="wait_ms")
        answers = await asyncio.gather(*(self._lease(item, call) for item in request.items))
        response = pb.BatchLeaseResponse()
        for answer in answers:
            if isinstance(answer, Failure):
                response.results.add().error.CopyFrom(item_error(answer))
            else:
                response.results.add().lease.CopyFrom(answer)
        return response

    async def _lease(self, request: pb.LeaseRequest, call: Call) -> pb.LeaseResponse | Failure:
        try:
            item = wire.lease_item(self._catalog, request)
            self._allowed(item.key, call, Action.READ)
            self._allowed(item.key, call, Action.WRITE)
        except Refusal as refusal:
            return refused(refusal)
        leases = self._cache.leases
        answer: Lookup | Granted | Held | Failure
        if request.renew:
            answer = await leases.renew(item)
        elif 0 < item.wait_ms <= MAX_WAIT_MS:
            with call.parked():
                answer = await leases.lease(item._replace(wait_ms=call.wait_ms(item.wait_ms)))
        else:
            answer = await leases.lease(item)
        return answer if isinstance(answer, Failure) else wire.lease_response(answer, call.keep_near)

    async def Fill(self, request: pb.FillRequest, call: Call) -> pb.FillResponse:
        return _must(await self._fill(request, call))

    async def BatchFill(self, request: pb.BatchFillRequest, call: Call) -> pb.BatchFillResponse:
        self._check_batch(len(request.items))
        answers = await asyncio.gather(*(self._fill(item, call) for item in request.items))
        response = pb.BatchFillResponse()
        for answer in answers:
            if isinstance(answer, Failure):
                response.results.add().error.CopyFrom(item_error(answer))
            else:
                response.results.add().fill.CopyFrom(answer)
        return response

    async def _fill(self, request: pb.FillRequest, call: Call) -> pb.FillResponse | Failure:
        try:
            fill = wire.fill_item(self._catalog, request)
            self._allowed(fill.item.key, call, Action.WRITE)
        except Refusal as refusal:
            return refused(refusal)
        if request.abandon:
            released = await self._cache.leases.release(fill.item.key, fill.token, request.cooldown_ms)
            if isinstance(released, Failure):
                return released
            return pb.FillResponse(outcome=pb.FILL_OUTCOME_ABANDONED if released else pb.FILL_OUTCOME_REJECTED)
        filled = await self._cache.fills.fill(fill)
        return filled if isinstance(filled, Failure) else wire.fill_response(filled)

    async def Erase(self, request: pb.EraseRequest, call: Call) -> pb.EraseResponse:
        raise Failed(not_served("Erase"))

    async def Delete(self, request: pb.DeleteRequest, call: Call) -> pb.DeleteResponse:
        key = self._allowed(self._catalog.key_of(request.key), call, Action.WRITE)
        return pb.DeleteResponse(existed=_must((await self._cache.changes.delete([key]))[0]))

    async def Touch(self, request: pb.TouchRequest, call: Call) -> pb.TouchResponse:
        key = self._allowed(self._catalog.key_of(request.key), call, Action.WRITE)
        ttl_ms = _must(await self._cache.changes.touch(key, request.ttl_ms if request.HasField("ttl_ms") else None))
        return pb.TouchResponse(touched=ttl_ms is not None, ttl_ms=ttl_ms or 0)

    async def Invalidate(self, request: pb.InvalidateRequest, call: Call) -> pb.InvalidateResponse:
        if not 1 <= len(request.selectors) <= MAX_SELECTORS:
            raise Refusal(
                ErrorReason.ERROR_REASON_SELECTOR_INVALID,
                f"1..{MAX_SELECTORS} selectors are required",
                field="selectors",
            )
        tags: dict[str, DomainSpec] = {}
        keys: list[ResolvedKey] = []
        for selector in request.selectors:
            selection = self._catalog.select(selector)
            tags.update(selection.tags)
            for domain in selection.tags.values():
                self._access.check(call.principal, domain, Action.INVALIDATE)
            if selection.key is not None:
                keys.append(self._allowed(selection.key, call, Action.INVALIDATE))
        dropped = await self._cache.changes.drop(tags, keys, wait_for_near_caches=request.wait_for_near_caches)
        return pb.InvalidateResponse(tags=list(tags), deleted_keys=_must(dropped))

    async def Metrics(self, request: pb.MetricsRequest, call: Call) -> pb.MetricsResponse:
        domains = self._domains(request.domains, call)
        reports = await self._reporter.report([domain.name for domain in domains])
        if isinstance(reports, Failure):
            raise Failed(reports)
        return pb.MetricsResponse(domains=[domain_metrics(d, reports[d.name]) for d in domains])

    async def DescribeCatalog(self, request: pb.DescribeCatalogRequest, call: Call) -> pb.DescribeCatalogResponse:
        return describe(self._catalog, request.domains)

    def _set_item(self, request: pb.SetRequest, call: Call) -> SetItem:
        item = wire.set_item(self._catalog, request)
        self._allowed(item.key, call, Action.WRITE)
        return item

    def _allowed(self, key: ResolvedKey, call: Call, action: Action) -> ResolvedKey:
        self._access.check(call.principal, key.domain, action)
        return key

    def _domains(self, names: Sequence[str], call: Call) -> list[DomainSpec]:
        """The domains asked for; without names every one the caller may read."""
        if names:
            asked = [self._catalog.domain(name) for name in dict.fromkeys(names)]
            for domain in asked:
                self._access.check(call.principal, domain, Action.READ)
            return asked
        allowed: list[DomainSpec] = []
        for domain in self._catalog.domains.values():
            try:
                self._access.check(call.principal, domain, Action.READ)
            except Refusal:
                continue
            allowed.append(domain)
        return allowed

    def _check_batch(self, items: int) -> None:
        if items > self._limits.batch_items:
            raise Refusal(
                ErrorReason.ERROR_REASON_BATCH_TOO_LARGE,
                f"{items} items, the server's limit max_batch_items is {self._limits.batch_items}",
            )


def _must(answer: T | Failure) -> T:
    """The answer, or the end of the call."""
    if isinstance(answer, Failure):
        raise Failed(answer)
    return answer
