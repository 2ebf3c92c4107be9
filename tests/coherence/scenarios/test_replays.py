"""Each defect that a soak found, as a history that replays it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coherd_server.redis.store import RedisStore
from coherence.scenarios.service_scenarios import EXTRA, USER, load_and_fill
from coherence.scenarios.service_stage import service_stage
from coherence.validate.checkers import check_all
from rig.process import Node


async def test_an_extra_tags_epoch_lost_between_mint_and_judgement(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soak of 2026-11-22, redis7, seed 426, maxmemory with allkeys-random: Lease answered INTERNAL."""
    lost = f"coherd:epoch:{EXTRA.extra_texts[0]}"
    ensure_epochs = RedisStore.ensure_epochs

    async def ensure_and_evict(self: RedisStore, *args: Any) -> Any:
        ensured = await ensure_epochs(self, *args)
        with node.client() as client:
            client.delete(lost)
        return ensured

    async with service_stage(node, tmp_path) as on:
        await load_and_fill(on, EXTRA)
        await on.forget(lost)
        monkeypatch.setattr(RedisStore, "ensure_epochs", ensure_and_evict)
        leased = await on.caller.lease(0, EXTRA)
        assert leased.outcome == "granted"
        value = await on.caller.load(EXTRA, 0)
        await on.caller.fill(0, leased, EXTRA, value)
        await on.caller.invalidate(1, USER)
        await on.caller.get(0, EXTRA)
        found = check_all(on.history())
    assert not found, "\n".join(map(str, found))
