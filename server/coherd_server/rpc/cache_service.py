"""`coherd.v1.CacheService`: each rpc checks access, calls the domain, and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import MethodOptions

from coherd.catalog import requests
from coherd.catalog.catalog import Catalog, ResolvedKey
from coherd.catalog.declared import DomainSpec
from coherd.catalog.describe import describe
from coherd.contract.limits import MAX_WAIT_MS
from coherd.contract.reasons import Refusal
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.keys_pb2 import Key
from coherd_server.core.access import Access, Action
from coherd_server.core.cache import Cache
from coherd_server.core.failure import Failure, refused
from coherd_server.core.get import Lookup
from coherd_server.core.lease_attempt import LeaseAnswer
from coherd_server.core.metrics import Reporter
from coherd_server.core.set import MAX_TURN_MS
from coherd_server.rpc import messages
from coherd_server.rpc.endpoint import Call, Endpoint, Handler, not_served
from coherd_server.rpc.errors import Failed, answer_too_large, item_error

T = TypeVar("T")
READ_PART: Final = 256
"""Keys of a batch that are read at one time."""
LEASE_PART: Final = 256
"""Leases or fills of a batch that are done at one time: what a part takes of the event loop holds up all others."""


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
        key = self._key(request.key, call, Action.READ)
        lookup = _must(await self._cache.coalescer.get(key, accept_stale=request.accept_stale))
        response = pb.GetResponse()
        messages.fill_get(response, lookup, request.accept_stale)
        return response

    async def BatchGet(self, request: pb.BatchGetRequest, call: Call) -> pb.BatchGetResponse:
        requests.check_batch(len(request.keys), self._limits.batch_items)
        failures: dict[int, Failure] = {}
        resolved: list[ResolvedKey] = []
        for index, key in enumerate(request.keys):
            try:
                resolved.append(self._key(key, call, Action.READ))
            except Refusal as refusal:
                failures[index] = refused(refusal)
        lookups = iter(await self._read(resolved, request.accept_stale))
        response = pb.BatchGetResponse()
        add = response.results.add
        for index in range(len(request.keys)):
            answer = failures.get(index) or next(lookups)
            if isinstance(answer, Lookup):
                result = add()
                if messages.fill_get(result, answer, request.accept_stale):
                    call.keep_near(result.hit, answer)
            else:
                add().error.CopyFrom(item_error(answer))
        return response

    async def _read(self, keys: Sequence[ResolvedKey], accept_stale: bool) -> list[Lookup | Failure]:
        """What is stored under many keys, in parts, so that an answer that is too long is noticed early."""
        lookups: list[Lookup | Failure] = []
        size = 0
        for at in range(0, len(keys), READ_PART):
            part = await self._cache.reads.get(keys[at : at + READ_PART], accept_stale=accept_stale)
            lookups += part
            size += sum(len(lookup.validity.raw) for lookup in part if isinstance(lookup, Lookup))
            if size > self._limits.message_bytes:
                raise Failed(answer_too_large(self._limits.message_bytes))
        return lookups

    async def Set(self, request: pb.SetRequest, call: Call) -> pb.SetResponse:
        item = self._set_item(request, call)
        return messages.set_response(_must(await self._cache.coalescer.set(item, turn_ms=call.wait_ms(MAX_TURN_MS))))

    async def BatchSet(self, request: pb.BatchSetRequest, call: Call) -> pb.BatchSetResponse:
        requests.check_batch(len(request.items), self._limits.batch_items)
        failures: dict[int, Failure] = {}
        items: list[requests.SetItem] = []
        for index, asked in enumerate(request.items):
            try:
                items.append(self._set_item(asked, call))
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
                response.results.add().set.CopyFrom(messages.set_response(outcome))
        return response

    async def Lease(self, request: pb.LeaseRequest, call: Call) -> pb.LeaseResponse:
        return _must(await self._lease(request, call))

    async def BatchLease(self, request: pb.BatchLeaseRequest, call: Call) -> pb.BatchLeaseResponse:
        requests.check_batch_lease(request, self._limits.batch_items)
        response = pb.BatchLeaseResponse()
        for at in range(0, len(request.items), LEASE_PART):
            for answer in await self._lease_part(request.items[at : at + LEASE_PART], call):
                if isinstance(answer, Failure):
                    response.results.add().error.CopyFrom(item_error(answer))
                else:
                    response.results.add().lease.CopyFrom(messages.lease_response(answer, call.keep_near))
        return response

    async def _lease_part(self, requested: Sequence[pb.LeaseRequest], call: Call) -> list[LeaseAnswer]:
        """Some leases of a batch, in few round trips."""
        answers: dict[int, LeaseAnswer] = {}
        asked: dict[int, requests.LeaseItem] = {}
        renewed: dict[int, requests.LeaseItem] = {}
        for index, request in enumerate(requested):
            try:
                (renewed if request.renew else asked)[index] = self._lease_item(request, call)
            except Refusal as refusal:
                answers[index] = refused(refusal)
        leases = self._cache.leases
        leased, renewals = await asyncio.gather(
            leases.lease_many(list(asked.values())), asyncio.gather(*map(leases.renew, renewed.values()))
        )
        answers.update(zip(asked, leased, strict=True))
        answers.update(zip(renewed, renewals, strict=True))
        return [answers[index] for index in range(len(requested))]

    def _lease_item(self, request: pb.LeaseRequest, call: Call) -> requests.LeaseItem:
        item = requests.lease_item(self._catalog, request)
        self._access.check(call.principal, item.key.domain, Action.READ)
        self._access.check(call.principal, item.key.domain, Action.WRITE)
        return item

    async def _lease(self, request: pb.LeaseRequest, call: Call) -> pb.LeaseResponse | Failure:
        item = self._lease_item(request, call)
        leases = self._cache.leases
        answer: LeaseAnswer
        if request.renew:
            answer = await leases.renew(item)
        elif 0 < item.wait_ms <= MAX_WAIT_MS:
            with call.parked():
                answer = await leases.lease(item._replace(wait_ms=call.wait_ms(item.wait_ms)))
        else:
            answer = await leases.lease(item)
        return answer if isinstance(answer, Failure) else messages.lease_response(answer, call.keep_near)

    async def Fill(self, request: pb.FillRequest, call: Call) -> pb.FillResponse:
        return _must(await self._fill(request, call))

    async def BatchFill(self, request: pb.BatchFillRequest, call: Call) -> pb.BatchFillResponse:
        requests.check_batch(len(request.items), self._limits.batch_items)
        response = pb.BatchFillResponse()
        for at in range(0, len(request.items), LEASE_PART):
            for answer in await self._fill_part(request.items[at : at + LEASE_PART], call):
                if isinstance(answer, Failure):
                    response.results.add().error.CopyFrom(item_error(answer))
                else:
                    response.results.add().fill.CopyFrom(answer)
        return response

    async def _fill_part(self, requested: Sequence[pb.FillRequest], call: Call) -> list[pb.FillResponse | Failure]:
        """Some fills of a batch, in few round trips."""
        answers: dict[int, pb.FillResponse | Failure] = {}
        fills: dict[int, requests.FillItem] = {}
        released: dict[int, Awaitable[pb.FillResponse | Failure]] = {}
        for index, request in enumerate(requested):
            try:
                fill = self._fill_item(request, call)
            except Refusal as refusal:
                answers[index] = refused(refusal)
                continue
            if request.abandon:
                released[index] = self._abandon(fill, request.cooldown_ms)
            else:
                fills[index] = fill
        filled, given_up = await asyncio.gather(
            self._cache.fills.fill_many(list(fills.values())), asyncio.gather(*released.values())
        )
        for index, done in zip(fills, filled, strict=True):
            answers[index] = done if isinstance(done, Failure) else messages.fill_response(done)
        answers.update(zip(released, given_up, strict=True))
        return [answers[index] for index in range(len(requested))]

    def _fill_item(self, request: pb.FillRequest, call: Call) -> requests.FillItem:
        fill = requests.fill_item(self._catalog, request)
        self._access.check(call.principal, fill.item.key.domain, Action.WRITE)
        return fill

    async def _fill(self, request: pb.FillRequest, call: Call) -> pb.FillResponse | Failure:
        fill = self._fill_item(request, call)
        if request.abandon:
            return await self._abandon(fill, request.cooldown_ms)
        filled = await self._cache.fills.fill(fill)
        return filled if isinstance(filled, Failure) else messages.fill_response(filled)

    async def _abandon(self, fill: requests.FillItem, cooldown_ms: int) -> pb.FillResponse | Failure:
        released = await self._cache.leases.release(fill.item.key, fill.token, cooldown_ms)
        if isinstance(released, Failure):
            return released
        return pb.FillResponse(outcome=pb.FILL_OUTCOME_ABANDONED if released else pb.FILL_OUTCOME_REJECTED)

    async def Erase(self, request: pb.EraseRequest, call: Call) -> pb.EraseResponse:
        raise Failed(not_served("Erase"))

    async def Delete(self, request: pb.DeleteRequest, call: Call) -> pb.DeleteResponse:
        key = self._key(request.key, call, Action.WRITE)
        return pb.DeleteResponse(existed=_must((await self._cache.changes.delete([key]))[0]))

    async def Touch(self, request: pb.TouchRequest, call: Call) -> pb.TouchResponse:
        key = self._key(request.key, call, Action.WRITE)
        ttl_ms = _must(await self._cache.changes.touch(key, request.ttl_ms if request.HasField("ttl_ms") else None))
        return pb.TouchResponse(touched=ttl_ms is not None, ttl_ms=ttl_ms or 0)

    async def Invalidate(self, request: pb.InvalidateRequest, call: Call) -> pb.InvalidateResponse:
        requests.check_selectors(request)
        tags: dict[str, DomainSpec] = {}
        keys: list[ResolvedKey] = []
        for selector in request.selectors:
            selection = self._catalog.select(selector)
            tags.update(selection.tags)
            for domain in selection.tags.values():
                self._access.check(call.principal, domain, Action.INVALIDATE)
            if selection.key is not None:
                self._access.check(call.principal, selection.key.domain, Action.INVALIDATE)
                keys.append(selection.key)
        dropped = await self._cache.changes.drop(tags, keys, wait_for_near_caches=request.wait_for_near_caches)
        return pb.InvalidateResponse(tags=list(tags), deleted_keys=_must(dropped))

    async def Metrics(self, request: pb.MetricsRequest, call: Call) -> pb.MetricsResponse:
        domains = self._domains(request.domains, call)
        reports = await self._reporter.report([domain.name for domain in domains])
        if isinstance(reports, Failure):
            raise Failed(reports)
        return pb.MetricsResponse(domains=[messages.domain_metrics(domain, reports[domain.name]) for domain in domains])

    async def DescribeCatalog(self, request: pb.DescribeCatalogRequest, call: Call) -> pb.DescribeCatalogResponse:
        return describe(self._catalog, request.domains)

    def _set_item(self, request: pb.SetRequest, call: Call) -> requests.SetItem:
        item = requests.set_item(self._catalog, request)
        self._access.check(call.principal, item.key.domain, Action.WRITE)
        return item

    def _key(self, key: Key, call: Call, action: Action) -> ResolvedKey:
        """The key of a request, which its caller may use so."""
        resolved = self._catalog.key_of(key)
        self._access.check(call.principal, resolved.domain, action)
        return resolved

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


def _must(answer: T | Failure) -> T:
    """The answer, or the end of the call."""
    if isinstance(answer, Failure):
        raise Failed(answer)
    return answer


def service_handlers(endpoint: Endpoint, rpcs: CacheRpcs) -> dict[str, Handler]:
    """One handler per rpc of `coherd.v1.CacheService`, from its descriptor: an rpc without a method fails at start."""
    service = pb.DESCRIPTOR.services_by_name["CacheService"]
    handlers: dict[str, Handler] = {}
    for method in service.methods:
        request_type = message_factory.GetMessageClass(method.input_type)
        reads_only = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        handler = endpoint.unary(request_type, getattr(rpcs, method.name), reads_only=reads_only)
        handlers[f"/{service.full_name}/{method.name}"] = handler
    return handlers
