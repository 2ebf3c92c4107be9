"""What every blocking verb needs: the asynchronous client behind it, and the way to it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Self, TypeVar

from coherd import values
from coherd._loading.policy import LoadPolicy
from coherd._near import Kept
from coherd.client import CacheClient
from coherd.codec import ValueDecodeError
from coherd.errors import BatchError, ClientClosed
from coherd.key import Key, ReadKey
from coherd.sync.call import Call
from coherd.sync.loader import PlainLoader
from coherd.sync.loop_thread import LOOP

T = TypeVar("T")


class Blocking:
    """A blocking face of an asynchronous client, which runs in the loop of `coherd.sync.loop_thread`.

    Args:
        cache: the client; closed with this one, and used in no other loop.
    """

    def __init__(self, cache: CacheClient) -> None:
        self._cache = cache
        self._lookup_near = cache._transport.lookup_near
        self._closed = False
        LOOP.attach(self)

    @classmethod
    def _over(cls, cache: CacheClient) -> Self:
        """The face of a client that there is."""
        self = cls.__new__(cls)
        Blocking.__init__(self, cache)
        return self

    @property
    def _load_policy(self) -> LoadPolicy:
        return self._cache._load_policy

    def _near_hit(self, key: ReadKey[Any]) -> Kept | None:
        """What the near cache holds of a key, looked up in the calling thread."""
        loop = LOOP.loop
        if loop is None or not isinstance(key, Key):
            return None
        return self._lookup_near(key, loop)

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of one of the asynchronous client's verbs."""
        if self._closed:
            coroutine.close()
            raise ClientClosed("the client is closed")
        return LOOP.run(coroutine)

    def _load(
        self,
        loader: Callable[[Any], Any],
        options: Mapping[str, Any],
        verb: Callable[[PlainLoader], Coroutine[Any, Any, T]],
    ) -> T:
        """As `_wait`, of a verb that loads with a plain loader."""
        policy = self._load_policy.override(options)  # type: ignore[arg-type]  # a TypedDict of the same fields
        plain = PlainLoader(loader, leaves=policy.soft_timeout_ms is not None)
        if self._closed:
            raise ClientClosed("the client is closed")
        plain.call = call = Call(verb(plain))
        return LOOP.finish(call)

    def _many(self, keys: Iterable[Any], ask: Callable[[list[Any]], dict[Any, Any]]) -> dict[Any, Any]:
        """The values of many keys, in their order: what the near cache holds, and of the others what is asked for.

        Raises:
            BatchError: some keys failed; carries the others' values, the near cache's included.
        """
        wanted: list[Key[Any]] = list(dict.fromkeys(keys))
        near = self._near_hits(wanted)
        if not near:
            return ask(wanted)
        others = [key for key in wanted if key not in near]
        try:
            found = near | (ask(others) if others else {})
        except BatchError as error:
            found = near | dict(error.results)
            raise BatchError({key: found[key] for key in wanted if key in found}, error.errors) from None
        return {key: found[key] for key in wanted if key in found}

    def _near_hits(self, keys: list[Key[Any]]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key in keys:
            if (kept := self._near_hit(key)) is not None:
                try:
                    found[key] = values.decoded_near(key, kept)
                except ValueDecodeError:
                    continue  # the verb says so, among its other keys
        return found

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            LOOP.run(self._cache.close())
        finally:
            LOOP.detach(self)
