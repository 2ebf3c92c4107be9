"""`get_or_load` of the typed client as a recorded operation: the same history as over raw calls, by another way."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

from coherd import CacheClient
from coherd.domains import analytics, content, crisis, maintenance, psychology, session
from coherd.errors import CacheError
from coherence.history import Operation, Recorder, Traced
from coherence.traffic.caller import Caller
from coherence.traffic.keyspace import Item

_MODULES: Final[dict[str, ModuleType]] = {
    "analytics": analytics,
    "content": content,
    "crisis": crisis,
    "maintenance": maintenance,
    "psychology": psychology,
    "session": session,
}


def serves_get_or_load(client: type) -> bool:
    """Whether this version of the client has the verb."""
    return hasattr(client, "get_or_load")


def typed_key(item: Item) -> Any:
    """The typed key of a key's text."""
    domain, resource, *pairs = item.key.split(":")
    kind = getattr(_MODULES[domain], "".join(part.capitalize() for part in resource.split("_")))
    fields: dict[str, Any] = dict(zip(pairs[::2], pairs[1::2], strict=True))
    if "days" in fields:
        fields["days"] = int(fields["days"].removesuffix("d"))
    key = kind(**fields)
    if str(key) != item.key:
        raise AssertionError("the typed key names another item")
    return key


class TypedCaller:
    """One typed client per server."""

    def __init__(self, targets: Sequence[str], recorder: Recorder, caller: Caller) -> None:
        self._recorder = recorder
        self._caller = caller
        self._clients = [CacheClient.connect(target, near_cache=False) for target in targets]

    async def get_or_load(self, server: int, item: Item, load_s: float) -> Operation:
        """The value, loaded by this process or another."""

        async def loader(*_: object) -> dict[str, Any]:
            return (await self._caller.load(item, load_s)).as_dict()

        client: Any = self._clients[server]
        begun = self._recorder.start("client_get_or_load", key=item.key, server=server)
        try:
            found = await client.get_or_load(typed_key(item), loader)
        except CacheError as error:
            return self._recorder.end(begun, f"error:{type(error).__name__}")
        try:
            return self._recorder.end(begun, "hit", value=Traced.of(found))
        except (TypeError, KeyError):
            return self._recorder.end(begun, "hit", garbled=True)

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            await client.close()
