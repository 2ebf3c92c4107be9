"""Every mutant is caught by the checks; the same scenarios over the server as it is are clean."""

from __future__ import annotations

from pathlib import Path

import pytest

from coherence.mutants.service_mutants import MUTANTS
from coherence.scenarios.service_scenarios import REVEALING, SCENARIOS
from coherence.scenarios.service_stage import service_stage
from coherence.validate.checkers import check_all
from rig.process import Node


@pytest.mark.parametrize("name", MUTANTS)
async def test_mutant_is_caught(name: str, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch.setattr)
    async with service_stage(node, tmp_path) as on:
        await SCENARIOS[REVEALING[name]](on)
        assert check_all(on.history()), "no check sees the mutant"


@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario_is_clean(name: str, node: Node, tmp_path: Path) -> None:
    async with service_stage(node, tmp_path) as on:
        await SCENARIOS[name](on)
        found = check_all(on.history())
    assert not found, "\n".join(map(str, found))
