"""How changes are carried out, so that neither a failover nor a near cache misses one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from coherd_server.core.near.change_log import NAMES_PER_ENTRY, ChangeNotice
from coherd_server.core.store import Fill, Put, StoreUnavailable, ValueRead
from coherd_server.redis.change_log import RedisChangeLog
from coherd_server.redis.jobs import Done, Job
from coherd_server.redis.recent_writes import RecentWrites, Repetition
from coherd_server.redis.router import Router
from coherd_server.redis.topology import Topology


class Writes:
    """Does what changes values or epochs.

    Args:
        router: brings the jobs to their nodes.
        topology: that the router goes by.
        log: takes what near caches must be told.
        recent_writes: remembers how the changes are repeated on a new primary.
        epoch_prefix: an epoch's full name is this and its tag.
    """

    def __init__(
        self,
        router: Router,
        topology: Topology,
        log: RedisChangeLog,
        recent_writes: RecentWrites,
        epoch_prefix: str,
    ) -> None:
        self._router = router
        self._topology = topology
        self._log = log
        self._recent_writes = recent_writes
        self._epoch_prefix = epoch_prefix

    async def do(
        self,
        jobs: Sequence[Job],
        repetition: Repetition,
        notices: Collection[ChangeNotice],
        *,
        stamped: Sequence[Put | Fill] = (),
        repeat: bool = False,
    ) -> tuple[Mapping[str, ValueRead], Sequence[Done | StoreUnavailable]]:
        """Do jobs, and read the epochs that were not asked for before, beside them.

        How to repeat the jobs on a new primary is noted before, since a switch may come between the node's answer and
        its arrival here, and after, since the window begins with the acknowledgement [repeat-on-switch].

        Where all is on one primary the notices go behind the jobs in the same batch. They are made good as soon
        as all that was done was done by the batch that carried them: what was repeated came later than they did.

        Args:
            jobs: the changes.
            repetition: how each of them is repeated.
            notices: what near caches must be told.
            stamped: the writes, if they may carry epochs from memory (`Put.remembered`).
            repeat: doing a change twice is harmless.
        """
        names = self._names_of_epochs(stamped)
        changed = [job.keys[0] for job in jobs]
        self._recent_writes.note(changed, repetition)
        carried = [one for one in notices if self._topology.one_primary and len(one.names) <= NAMES_PER_ENTRY]
        appends = [self._log.append_job(one.names, awaited=one.awaited) for one in carried]
        values, answers = await self._router.fetch(names, [*jobs, *appends], repeat=repeat, partial=True)
        self._recent_writes.note(changed, repetition)
        changes = answers[: len(jobs)]
        batches = {done.batch for done in changes if isinstance(done, Done)}
        for notice, appended in zip(carried, answers[len(jobs) :], strict=True):
            if isinstance(appended, Done) and batches <= {appended.batch}:
                notice.appended = self._log.answer_of(appended)
        return values, changes

    def _names_of_epochs(self, stamped: Sequence[Put | Fill]) -> Sequence[str]:
        """Full names of the epochs that writes carry from memory, each once; many writes share one mapping."""
        shared = {id(one.remembered): one.remembered for one in stamped}
        return [self._epoch_prefix + tag for tag in dict.fromkeys(tag for tags in shared.values() for tag in tags)]
