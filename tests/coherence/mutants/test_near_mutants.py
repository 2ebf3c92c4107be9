"""Every broken near cache is caught by the checks; the same scenarios over the parts as they are are clean."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from coherence.history import History
from coherence.mutants.near_mutants import NEAR_MUTANTS
from coherence.scenarios.near_scenarios import NEAR_REVEALING, NEAR_SCENARIOS
from coherence.scenarios.near_stage import BOUNDS, near_stage
from coherence.validate.checkers import CHECKS, check_all
from coherence.validate.near_checkers import check_near_cache_bound
from coherence.validate.violation import Violation
from rig.process import Node

RUNS: Final = 10
"""Most of a scenario, the first of which mostly does: the wrong answer of some is there for a third of a second, which
a busy machine may miss."""


def judge(history: History) -> list[Violation]:
    """All checks; the bound is that of the stage's lease."""
    return [*check_near_cache_bound(history, BOUNDS), *check_all(history)]


@pytest.mark.parametrize("name", NEAR_MUTANTS)
async def test_mutant_is_caught(name: str, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    NEAR_MUTANTS[name](monkeypatch.setattr)
    for run in range(RUNS):
        folder = tmp_path / str(run)
        folder.mkdir()
        async with near_stage(node, folder, monkeypatch.setattr) as on:
            await NEAR_SCENARIOS[NEAR_REVEALING[name]](on)
            found = judge(on.history())
        if any(one.promise.startswith("P2") for one in found):
            return
    pytest.fail("no check of P2 sees the mutant")


@pytest.mark.parametrize("name", NEAR_SCENARIOS)
async def test_scenario_is_clean(name: str, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with near_stage(node, tmp_path, monkeypatch.setattr) as on:
        await NEAR_SCENARIOS[name](on)
        history = on.history()
    found = judge(history)
    assert not found, "\n".join(map(str, found))
    assert any(one.near for one in history.reads), "nothing was answered near"


def test_each_check_has_a_name_of_its_promise() -> None:
    assert {name.split()[0] for name in CHECKS} == {"P1", "P2", "P3", "P4", "P5", "P6"}
