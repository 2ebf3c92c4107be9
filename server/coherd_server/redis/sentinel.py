"""The primary behind Sentinel: discovered, and re-discovered on loss, READONLY, change of role, and every second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast

from redis.exceptions import AskError, AuthenticationError, NoPermissionError, RedisError

from coherd_server.redis.causes import NOT_A_PRIMARY, SENTINEL, cause_of, describe_failed_connect, is_about_tls
from coherd_server.redis.node import Node
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_py import CONNECTION_ERRORS, Address, Reply, open_connection
from coherd_server.redis.redis_url import Mode, RedisTarget
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Watch

_MASTERS: Final = b"*2\r\n$8\r\nSENTINEL\r\n$7\r\nMASTERS\r\n"
_ORDER: Final = tuple(SENTINEL)


class SentinelTopology:
    """One primary at a time, at the address the sentinels name."""

    one_primary = True

    def __init__(self, target: RedisTarget, settings: StoreSettings, recent_writes: RecentWrites) -> None:
        self._recent_writes = recent_writes
        self._target = target
        self._settings = settings
        self._asked_as = replace(
            target, mode=Mode.SINGLE, db=0, username=target.sentinel_username, password=target.sentinel_password
        )
        self._sentinels = [Address(host, port) for host, port in target.addresses]
        self._why = ""
        """Why the sentinels named no primary when they were asked last; empty where they did."""
        self.only_node: Node | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._watch = Watch(settings.check_every_ms)

    def node_for(self, name: str) -> Node | None:
        return self.only_node

    def nodes(self) -> Sequence[Node]:
        return () if self.only_node is None else (self.only_node,)

    def redirect(self, error: AskError, source: Node) -> Node | None:
        return None

    def importing(self, name: str, source: Node, identity: bytes) -> Node | None:
        return None

    def refresh(self) -> None:
        self._watch.ask()

    async def start(self) -> None:
        await self.look()
        self._watch.start(self)

    def trouble(self) -> str:
        return f"{self._target.describe()}: {self.cause}"

    @property
    def cause(self) -> str:
        return self._why or SENTINEL["unreachable"].text

    async def look(self) -> None:
        """Ask the sentinels in turn, the one that answered last first; keep what is known when none names a primary."""
        answers: list[tuple[int, str]] = []
        for sentinel in list(self._sentinels):
            answer = await self._ask(sentinel)
            if isinstance(answer, Address):
                self._sentinels.remove(sentinel)
                self._sentinels.insert(0, sentinel)
                self._why = ""
                self._adopt(answer)
                return
            answers.append(answer)
        self._why = min(answers)[1]

    def _adopt(self, address: Address) -> None:
        if self.only_node is not None and self.only_node.address == address:
            return
        old = self.only_node
        self.only_node = Node(
            self._target,
            address,
            self._settings,
            self._recent_writes,
            cluster=False,
            on_trouble=self.refresh,
            explain=self._explain,
        )
        if old is not None:
            task = asyncio.create_task(old.close())
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    def _explain(self, cause: str) -> str:
        """Why the primary that the sentinels named cannot be used, with what they say of it."""
        if cause == NOT_A_PRIMARY:
            return SENTINEL["replica"].text
        return f"{cause}; {self._why or SENTINEL['primary'].text}"

    async def _ask(self, sentinel: Address) -> Address | tuple[int, str]:
        """Where the primary is, or why this sentinel does not say so, with its place in the order of causes."""
        connection = open_connection(self._asked_as, sentinel, self._settings, named=False)
        try:
            async with asyncio.timeout(2 * self._settings.connect_timeout_ms / 1000):
                await connection.connect()
                await connection.send_packed_command(_MASTERS)
                return _primary_of(await connection.read_response(timeout=float("inf")), self._target.service or "")
        except CONNECTION_ERRORS as error:
            return _why(error, sentinel, tls=self._target.tls)
        finally:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        await self._watch.close()
        if self.only_node is not None:
            await self.only_node.close()
        await asyncio.gather(*self._retired)


def _ranked(name: str, detail: str = "") -> tuple[int, str]:
    wrong, do, *_ = SENTINEL[name]
    return _ORDER.index(name), f"{wrong}{detail}; {do}"


def _primary_of(reply: Reply, service: str) -> Address | tuple[int, str]:
    """The address of a primary that is up in the reply to SENTINEL MASTERS, or why there is none."""
    if not isinstance(reply, list):
        raise TypeError("unexpected reply")
    known = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in cast(list[list[bytes]], reply)]
    fields = next((one for one in known if one.get(b"name") == service.encode()), None)
    if fields is None:
        names = ", ".join(sorted(one.get(b"name", b"").decode("utf-8", "replace")[:100] for one in known)[:5])
        return _ranked("unknown name", f": they monitor {names or 'none'}")
    flags = fields[b"flags"].decode().split(",")
    if "failover_in_progress" in flags or "o_down" in flags:
        return _ranked("failover")
    if "s_down" in flags:
        return _ranked("no quorum", f" ({fields[b'quorum'].decode()} must)")
    if "master" not in flags:
        return _ranked("failover")
    return Address(fields[b"ip"].decode(), int(fields[b"port"]))


def _why(error: BaseException, sentinel: Address, *, tls: bool) -> tuple[int, str]:
    """Why a sentinel said nothing."""
    if isinstance(error, NoPermissionError):
        return _ranked("not permitted")
    if isinstance(error, AuthenticationError):
        return _ranked("password")
    if isinstance(error, RedisError) and "unknown command" in str(error):
        return _ranked("no sentinel")
    how = describe_failed_connect(error, tls=tls)
    if is_about_tls(error, tls=tls):
        return _ranked("TLS", f": {how.split(';')[0]}")
    known = cause_of(error)
    return _ranked("unreachable", f": {sentinel}: {how.split(';')[0] if known is None else known.wrong}")
