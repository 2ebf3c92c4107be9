"""The read method of every resource (docs/use/wire.md): ``/package.AnalyticsCache/Daily`` takes the key message and
answers the cached value message, in every language, with stock stubs.
"""

from __future__ import annotations

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import DomainSpec, ResourceSpec
from coherd.catalog.descriptor_sets import link_pool
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import Access, Action
from coherd_server.core.coalescer import Coalescer
from coherd_server.core.entry import Flags
from coherd_server.core.failure import Failure
from coherd_server.rpc.endpoint import Call, Endpoint, Handler, Method
from coherd_server.rpc.errors import Failed

_NOT_CACHED = Failure(ErrorReason.ERROR_REASON_NOT_CACHED, "nothing is cached under this key")
_NOTHING = Failure(ErrorReason.ERROR_REASON_NOT_CACHED, "it is remembered that there is nothing under this key")


def typed_handlers(catalog: Catalog, reads: Coalescer, access: Access, endpoint: Endpoint) -> dict[str, Handler]:
    """Handlers by path, for every resource of the catalog. Message types live in a private descriptor pool."""
    pool = link_pool({name: FileDescriptorProto.FromString(data) for name, data in catalog.files.items()})
    handlers: dict[str, Handler] = {}
    for domain in catalog.domains.values():
        for resource in domain.resources.values():
            key_type = message_factory.GetMessageClass(pool.FindMessageTypeByName(resource.key_type))
            method = _method(catalog, reads, access, domain, resource)
            handlers[resource.method] = endpoint.unary(key_type, method, reads_only=True)
    return handlers


def _method(
    catalog: Catalog, reads: Coalescer, access: Access, domain: DomainSpec, resource: ResourceSpec
) -> Method[Message]:
    async def read(request: Message, call: Call) -> bytes:
        access.check(call.principal, domain, Action.READ)
        values = {identifier.name: getattr(request, identifier.name) for identifier in resource.identifiers}
        key = catalog.resolve(catalog.build(domain.name, resource.name, values))
        lookup = await reads.get(key)
        if isinstance(lookup, Failure):
            raise Failed(lookup)
        validity = lookup.validity
        if not lookup.is_hit(False) or validity.header is None:
            raise Failed(_NOT_CACHED)
        if validity.header.flags & Flags.NEGATIVE:
            raise Failed(_NOTHING)
        if call.context is not None:
            call.context.set_trailing_metadata(
                (("coherd-age-ms", str(validity.age_ms)), ("coherd-remaining-ttl-ms", str(validity.remaining_ms)))
            )
        return validity.payload

    return read
