"""The verbs of a typed client with a near cache as recorded operations: each read says where it was answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final

from coherd import CacheClient
from coherd._near import Kept, NearCache
from coherd._rpc.session_near import SessionNear
from coherd._rpc.session_stream import SessionStream
from coherd._rpc.session_transport import SessionTransport
from coherd.domains import tags
from coherd.errors import BatchError, CacheError, ClientClosed, DeadlineExceeded, OutcomeUnknown, ServerDefect
from coherd.selectors import Domain, Resource, Selector, Tag
from coherence.history import Operation, Recorder, Traced
from coherence.traffic.caller import Caller
from coherence.traffic.keyspace import Item, Target
from coherence.traffic.threaded_client import Threaded
from coherence.traffic.typed_caller import typed_key

_UNKNOWN: Final = (OutcomeUnknown, DeadlineExceeded, ServerDefect, ClientClosed)
"""What leaves open whether a change took effect."""
_NAMED: Final[dict[str, Callable[[str], Selector]]] = {"user": tags.User, "content": tags.Content, "date": tags.Date}
_near: ContextVar[set[str] | None] = ContextVar("keys the near cache answered in this call", default=None)


class NearCaller:
    """One client, its session and its near cache.

    Args:
        client: with a near cache; `coherence.traffic.threaded_client.Threaded` for a blocking one.
        caller: loads values, and makes those that are set; its own calls are not used.
        server: which one it is connected to, for the record.
    """

    def __init__(self, client: CacheClient | Threaded, caller: Caller, *, server: int) -> None:
        self.client: Any = client
        self.caller = caller
        self._recorder = caller.recorder
        self._server = server
        self._keys: dict[str, Any] = {}

    @property
    def near(self) -> NearCache | None:
        """Of the running loop; None before the first call."""
        links = list(self.client._transport._links.by_loop.values())
        return links[0].near if links else None

    @property
    def stream(self) -> SessionStream | None:
        """The open session."""
        links = list(self.client._transport._links.by_loop.values())
        return links[0].stream if links else None

    def key(self, item: Item) -> Any:
        """The typed key of an item."""
        if item.key not in self._keys:
            self._keys[item.key] = typed_key(item)
        return self._keys[item.key]

    def holds(self, item: Item) -> bool:
        """Whether the near cache would answer now; to be asked in the loop of the calls."""
        client, key = self.client, self.key(item)
        if isinstance(client, Threaded):
            return client.holds(key)
        return client._transport.lookup_near(key) is not None

    # Reading.

    async def get(self, item: Item, **options: Any) -> Operation:
        """One key."""
        begun, answered = self._begin_read("client_get", item)
        try:
            found = await self.client.get(self.key(item), **options)
        except CacheError as error:
            return self._recorder.end(begun, f"error:{type(error).__name__}")
        return self._end_read(begun, found, answered)

    async def get_many(self, items: Sequence[Item]) -> list[Operation]:
        """Many keys, of which the near cache may answer some."""
        answered: set[str] = set()
        _near.set(answered)
        begun = [self._recorder.start("client_get_many", key=item.key, tags=(), server=self._server) for item in items]
        found: dict[Any, Any]
        try:
            found = dict(await self.client.get_many([self.key(item) for item in items]))
        except BatchError as error:
            found = dict(error.results)
        except CacheError as error:
            return [self._recorder.end(one, f"error:{type(error).__name__}") for one in begun]
        return [
            self._end_read(one, found.get(self.key(item)), answered) for one, item in zip(begun, items, strict=True)
        ]

    async def get_or_load(self, item: Item, load_s: float) -> Operation:
        """The value, from near, from the service, or loaded by this process or another."""

        async def loader(*_: object) -> dict[str, Any]:
            return (await self.caller.load(item, load_s)).as_dict()

        begun, answered = self._begin_read("client_get_or_load", item)
        try:
            found = await self.client.get_or_load(self.key(item), loader, tags=dict(item.extra) or None)
        except CacheError as error:
            return self._recorder.end(begun, f"error:{type(error).__name__}")
        return self._end_read(begun, found, answered)

    def _begin_read(self, path: str, item: Item) -> tuple[Operation, set[str]]:
        answered: set[str] = set()
        _near.set(answered)
        return self._recorder.start(path, key=item.key, server=self._server), answered

    def _end_read(self, begun: Operation, found: Any, answered: set[str]) -> Operation:
        near = begun.key in answered
        if found is None:
            return self._recorder.end(begun, "miss", near=near)
        try:
            return self._recorder.end(begun, "hit", value=Traced.of(found), near=near)
        except (TypeError, KeyError):
            return self._recorder.end(begun, "hit", garbled=True, near=near)

    # Changing.

    async def set(self, item: Item, version: int, /, **options: Any) -> Operation:
        """A value that is current now."""
        nonce = self._recorder.new_id()
        value = self.caller.written(item, nonce, version, 0, "set")
        begun = self._recorder.begin("set", id=nonce, key=item.key, server=self._server, value=value)
        try:
            done = await self.client.set(self.key(item), value.as_dict(), tags=dict(item.extra) or None, **options)
        except CacheError as error:
            return self._recorder.end(begun, _outcome(error))
        return self._recorder.end(begun, done.outcome.value.removesuffix("_version"))

    async def delete(self, item: Item) -> Operation:
        """One key."""
        begun = self._recorder.begin("delete", key=item.key, server=self._server)
        try:
            await self.client.delete(self.key(item))
        except CacheError as error:
            return self._recorder.end(begun, _outcome(error))
        return self._recorder.end(begun, "done")

    async def invalidate(self, target: Target, *, wait: bool = False) -> Operation:
        """What a target names."""
        begun = self._recorder.begin("invalidate", key=target.key, tags=target.tags, server=self._server, waits=wait)
        try:
            await self.client.invalidate(typed_selector(target), wait_for_near_caches=wait)
        except CacheError as error:
            return self._recorder.end(begun, _outcome(error))
        return self._recorder.end(begun, "done")

    async def touch(self, item: Item) -> Operation:
        """A new TTL."""
        begun = self._recorder.begin("touch", key=item.key, server=self._server)
        try:
            touched = await self.client.touch(self.key(item))
        except CacheError as error:
            return self._recorder.end(begun, _outcome(error))
        return self._recorder.end(begun, "done" if touched else "miss")

    async def close(self) -> None:
        """Close the client."""
        await self.client.close()


def _outcome(error: CacheError) -> str:
    return f"{'lost' if isinstance(error, _UNKNOWN) else 'error'}:{type(error).__name__}"


def typed_selector(target: Target) -> Selector:
    """A target as users of the client name it."""
    wire = target.selector
    match wire.WhichOneof("selects"):
        case "named":
            return _NAMED[wire.named.name](wire.named.value)
        case "tag":
            return Tag(wire.tag.identifier, wire.tag.value, wire.tag.domain)
        case "resource":
            return Resource(wire.resource.domain, wire.resource.resource)
        case "domain":
            return Domain(wire.domain.domain)
        case "key":
            selector: Selector = typed_key(Item(0, wire.key.text, ()))
            return selector
    raise AssertionError("a target of the key space")


def note_near_answers(patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Have the clients of this process say which reads their near caches answer. To be called before they are made."""
    lookup = SessionTransport.lookup_near

    def noting(self: SessionTransport, key: str, *args: Any) -> Kept | None:
        kept, answered = lookup(self, key, *args), _near.get()
        if kept is not None and answered is not None:
            answered.add(str.__str__(key))
        return kept

    patch(SessionTransport, "lookup_near", noting)


def record_pushes(recorder: Recorder, patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Have every session of this process record when it has dropped what it was told to."""
    take = SessionNear.take_push

    def recording(self: SessionNear, push: Any) -> None:
        named = (*(f"={key}" for key in push.keys), *push.tags)
        begun = recorder.start("push", tags=named)
        take(self, push)
        recorder.end(begun, "flush" if push.flush else "done")

    patch(SessionNear, "take_push", recording)
