"""The example of an own catalog, as its README says: make, serve, use."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rig.server import CoherdServer

SHOP = Path(__file__).parents[3] / "examples" / "shop"


@pytest.fixture(name="shop", scope="module")
def _shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example in which ``make`` has run."""
    copy = tmp_path_factory.mktemp("examples") / "shop"
    shutil.copytree(SHOP, copy, ignore=shutil.ignore_patterns("gen", "*.binpb", "__pycache__"))
    made = subprocess.run(["make", f"PYTHON={sys.executable}"], cwd=copy, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return copy


def test_the_demo_prints_what_the_readme_promises(shop: Path) -> None:
    with CoherdServer("--catalog", str(shop / "shop.binpb"), "--no-builtin-catalog") as server:
        command = [sys.executable, "demo.py", "--server", server.target]
        done = subprocess.run(command, cwd=shop, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Page(product='4711') is Teapot",
        "shop:sales:product:4711:date:20250806 holds {'sold': 0, 'returned': 0}",
        "ann's carts: ['web', 'app']",
        "product 4712: None",
        "ann left: shop/customer:ann; carts now: {}",
        "product 4711 changed: page None, sales None",
        "hits 5, misses 4, sets 7, invalidations 2",
    ]


def test_making_again_changes_nothing(shop: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(shop.rglob("*")) if path.suffix in (".py", ".pyi", ".binpb")}
    subprocess.run(["make", "--always-make", f"PYTHON={sys.executable}"], cwd=shop, check=True)
    assert {path: path.read_bytes() for path in before} == before
