"""One batch for one node: what callers joined before it was sent, packed as few commands, and its answers."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, cast

from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from coherd_server.core.entry import EPOCH_BYTES
from coherd_server.core.store import ValueRead
from coherd_server.redis.jobs import Job, LateError, Moved, UnconfirmedError
from coherd_server.redis.redis_py import Arg, Command, Reply
from coherd_server.redis.scripts import LATE, Script

_numbers: Final = itertools.count(1)
NAMES_PER_READ: Final = 500
"""Most names of one MGET."""
ITEMS_PER_CALL: Final = 250
"""Most items of one script call: bounds how long a node is blocked (about 10 µs an item). The payload of a call is that
of its batch at most: ``StoreSettings.batch_bytes`` and one value."""


_Call = tuple[str, int, tuple[Arg, ...]]
"""What the items of one call share: digest of the script, hash slot, common arguments."""


class Failure(NamedTuple):
    """Why a whole batch has no answers."""

    text: str
    sent: bool
    final: bool = False
    """Trying again within the deadline is of no use."""
    cause: str = ""
    """Why, without the address."""


class Batch:
    """Filled by callers until it is sent, then answered as a whole. Not thread-safe; lives on one event loop."""

    def __init__(self, *, wide: bool, asking: bool = False, confirmed: bool = False) -> None:
        self.number = next(_numbers)
        """Tells batches apart: what one batch carried was done in the order of `pack`."""
        self._wide = wide
        """One command may name keys of many slots (not a cluster)."""
        self.asking = asking
        """Goes to the importing node of a slot that moves: each command after an ``ASKING``."""
        self.confirmed = confirmed
        """Ends with a wait for replicas, which nothing else should share."""
        self._names: dict[str, None] = {}
        self._jobs: list[Job] = []
        self._shared: dict[tuple[str, str], int] = {}
        self._plan: list[tuple[Script | None, Sequence[str], Sequence[int]]] = []
        self._withdrawn: set[int] = set()
        self._replicas = 0
        self.is_done = False
        """Answered or failed."""
        self._waiters: list[asyncio.Future[Batch]] = []
        self.payload_bytes = 0
        self.sent = False
        self.failure: Failure | None = None
        self.values: dict[str, bytes | None] = {}
        """What is stored under each name that could be read."""
        self.errors: dict[str, ResponseError] = {}
        """Names that could not be read."""
        self.answers: list[Reply] = []
        """Per job: bytes or another reply, a `ResponseError`, or `Moved`."""
        self.identity = b""
        self.fencing_token = b""
        """The state of the node's fences after its scripts (`fencing.py`); empty where none has told it."""
        self.redis_now_ms = 0
        self.redirected = False
        """Some reply was MOVED, ASK, READONLY or CLUSTERDOWN: identities must be read again [node-identity]."""
        self.late = False
        self.scripts_missing = False
        self.readonly = False
        self.refused: ResponseError | None = None
        """Some command was refused, and why."""

    def __len__(self) -> int:
        return len(self._names) + len(self._jobs)

    def add_names(self, names: Iterable[str]) -> None:
        """Read these; a name that is in the batch already is read once."""
        self._names.update(dict.fromkeys(names))

    def add_job(self, job: Job) -> int:
        """Position of the job's answer. Epochs that several callers ensure or replace are one: nothing of the batch was
        sent yet [join-before-sending]."""
        if job.script is not None and job.script.merge is not None:
            place = self._shared.setdefault((job.script.name, job.keys[0]), len(self._jobs))
            if place < len(self._jobs):
                other = self._jobs[place]
                args = job.script.merge(other.args, job.args)
                self._jobs[place] = job._replace(args=args, replicas=max(other.replicas, job.replicas))
                return place
        self._jobs.append(job)
        for arg in job.args:
            if type(arg) is bytes:
                self.payload_bytes += len(arg)
        return len(self._jobs) - 1

    def join(self) -> asyncio.Future[Batch]:
        """A future of the caller's own: cancelling it disturbs nobody. It never holds an exception."""
        future: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()
        if self.is_done:
            future.set_result(self)
        else:
            self._waiters.append(future)
        return future

    def reads(self, names: Iterable[str]) -> dict[str, ValueRead]:
        """What was read under these names, but those that could not be read."""
        values, identity, now_ms = self.values, self.identity, self.redis_now_ms
        return {name: ValueRead(values[name], identity, now_ms) for name in names if name in values}

    def withdraw(self, place: int) -> bool:
        """Take a job back; False when it may have been sent, or others may share it."""
        script = self._jobs[place].script
        if self.sent or (script is not None and script.merge is not None):
            return False
        self._withdrawn.add(place)
        return True

    def pack(self, identity: bytes, deadline_ms: int, wait_ms: int) -> list[Command]:
        """The commands, for a connection with this identity. Called once, right before sending: fresh epochs are made
        here and leave in one command, once [fresh-id-once]. ``deadline_ms`` is in the node's time; ``wait_ms`` bounds
        the wait for replicas, which comes last and covers all that the connection wrote before."""
        self.sent = True
        self.answers = [None] * len(self._jobs)
        commands: list[Command] = []
        names = list(self._names)
        step = NAMES_PER_READ if self._wide else 1
        for at in range(0, len(names), step):
            part = names[at : at + step]
            self._plan.append((None, part, ()))
            self._append(commands, ("MGET", *part) if self._wide else ("GET", part[0]))
        calls: dict[_Call, tuple[Script, list[int]]] = {}
        last: dict[_Call, tuple[Script, list[int]]] = {}
        replicas = 0
        latest: tuple[Script, tuple[Arg, ...], list[int]] | None = None  # most jobs go where the one before went
        for place, job in enumerate(self._jobs):
            if self._withdrawn and place in self._withdrawn:
                continue
            script, keys, args, wanted, confirmed, common = job
            if wanted is not None and wanted != identity:
                self.answers[place] = Moved()
            elif script is None:
                self._plan.append((None, (), (place,)))
                self._append(commands, args)
            elif latest is not None and latest[0] is script and latest[1] is common and self._wide:
                latest[2].append(place)
            else:
                group = last if script.last else calls
                slot = 0 if self._wide else key_slot(keys[0].encode())
                _, places = group.setdefault((script.sha, slot, common), (script, []))
                places.append(place)
                latest = (script, common, places)
            if confirmed > replicas:
                replicas = confirmed
        for script, places in (*calls.values(), *last.values()):
            for at in range(0, len(places), ITEMS_PER_CALL):
                some = places[at : at + ITEMS_PER_CALL]
                self._plan.append((script, (), some))
                self._append(commands, self._call(script, some, deadline_ms))
        self._replicas = replicas
        if replicas:
            commands.append(("WAIT", replicas, wait_ms))
        return commands

    def _append(self, commands: list[Command], command: Command) -> None:
        if self.asking:
            commands.append(("ASKING",))
        commands.append(command)

    def _call(self, script: Script, places: Sequence[int], deadline_ms: int) -> Command:
        if script.numbered:
            return _numbered_call(script, [self._jobs[place] for place in places], deadline_ms)
        keys: list[Arg] = []
        args: list[Arg] = [deadline_ms]
        for place in places:
            job = self._jobs[place]
            keys.extend(job.keys)
            if script.fresh:
                args.append(os.urandom(EPOCH_BYTES))
            args.extend(job.args)
        return ("EVALSHA", script.sha, len(keys), *keys, *args)

    def settle(self, replies: list[Reply], identity: bytes, redis_now_ms: int) -> None:
        """Take the replies to `pack`'s commands, carried by a connection with this identity, and wake the callers."""
        self.identity = identity
        self.redis_now_ms = redis_now_ms
        confirmed = replies.pop() if self._replicas else 0
        if self.asking:
            replies = replies[1::2]
        for (script, names, places), reply in zip(self._plan, replies, strict=True):
            if names:
                self._take_values(names, reply)
            else:
                self._take_answers(script, places, reply)
        if self._replicas:
            for place, job in enumerate(self._jobs):
                if job.replicas and (not isinstance(confirmed, int) or confirmed < job.replicas):
                    self.answers[place] = UnconfirmedError("NOREPLICAS", status_code="NOREPLICAS")
        self._wake()

    def _take_values(self, names: Sequence[str], reply: Reply) -> None:
        if isinstance(reply, ResponseError):
            if str(reply).startswith("WRONGTYPE"):
                self.values[names[0]] = b""
                return
            self._note(reply)
            self.errors.update(dict.fromkeys(names, reply))
        elif self._wide:
            if not isinstance(reply, list) or len(reply) != len(names):
                raise TypeError("unexpected reply to MGET")
            self.values.update(zip(names, cast("list[bytes | None]", reply), strict=True))
        elif reply is None or isinstance(reply, bytes):
            self.values[names[0]] = reply
        else:
            raise TypeError("unexpected reply to GET")

    def _take_answers(self, script: Script | None, places: Sequence[int], reply: Reply) -> None:
        if script is None:
            self.answers[places[0]] = reply
            if isinstance(reply, ResponseError):
                self._note(reply)
        elif isinstance(reply, list) and len(reply) == len(places) + script.tells_token:
            if script.tells_token:
                self.fencing_token = cast(bytes, reply.pop())
            answers = self.answers
            for place, answer in zip(places, reply, strict=True):
                good = type(answer) is bytes and answer != LATE and not answer.startswith(b"!")
                answers[place] = answer if good else self._checked(answer)
        elif isinstance(reply, ResponseError) or reply == LATE:
            for place in places:
                self.answers[place] = self._checked(reply)
        else:
            raise TypeError("unexpected reply to a script")

    def _checked(self, reply: Reply) -> Reply:
        if reply == LATE:
            reply = LateError("late", status_code="LATE")
        elif isinstance(reply, bytes) and reply.startswith(b"!"):
            code = reply[1:].decode("ascii", "replace")
            kinds: dict[str, type[ResponseError]] = {"OOM": OutOfMemoryError, "READONLY": ReadOnlyError}
            reply = kinds.get(code, ResponseError)(code, status_code=code)
        if isinstance(reply, ResponseError):
            self._note(reply)
        return reply

    def _note(self, error: ResponseError) -> None:
        self.refused = error
        self.late |= isinstance(error, LateError)
        self.readonly |= isinstance(error, ReadOnlyError)
        self.scripts_missing |= isinstance(error, NoScriptError)
        self.redirected |= isinstance(error, AskError | ClusterDownError | ReadOnlyError)

    def fail(self, failure: Failure) -> None:
        """No answers; wake the callers."""
        self.failure = failure
        self._wake()

    def _wake(self) -> None:
        self.is_done = True
        for future in self._waiters:
            if not future.done():
                future.set_result(self)
        self._waiters.clear()


def _numbered_call(script: Script, jobs: Sequence[Job], deadline_ms: int) -> Command:
    """A call whose items are laid out as ``items.lua`` says."""
    keys: list[Arg] = []
    rest: list[Arg] = []
    for job in jobs:
        keys.extend(job.keys[:-1])
        rest.extend(job.args[1:])
    keys.extend([jobs[0].keys[-1]] if script.tells_token else [job.keys[-1] for job in jobs])
    numbers = b"".join([cast(bytes, job.args[0]) for job in jobs])
    return ("EVALSHA", script.sha, len(keys), *keys, deadline_ms, numbers, *jobs[0].common, *rest)
