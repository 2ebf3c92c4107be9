"""The plugin, run by protoc: each case gives exactly the expected files, and they do what its usage says.

After a change that is meant, write the expected files anew: ``python tests/unit/codegen/test_cases.py``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from coherd.codegen import include_dir
from coherd.codegen.protoc import run_protoc

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.name for path in CASES.iterdir())
PLUGIN = (
    f"#!{sys.executable}\nimport sys\nsys.path[:0] = {sys.path!r}\nfrom coherd.codegen.plugin import main\nmain()\n"
)


def inputs(case: Path) -> list[str]:
    """The `.proto` files of a case."""
    return sorted(path.relative_to(case).as_posix() for path in case.rglob("*.proto"))


def run_plugin(case: Path, scratch: Path) -> dict[str, str]:
    """What protoc writes with the plugin, by path."""
    plugin = scratch / "protoc-gen-coherd"
    plugin.write_text(PLUGIN)
    plugin.chmod(0o755)
    out = scratch / "out"
    out.mkdir()
    arguments = [f"--plugin=protoc-gen-coherd={plugin}", f"--coherd_out=facade:{out}"]
    run_protoc([case, include_dir()], arguments, inputs(case))
    return {p.relative_to(out).as_posix(): p.read_text() for p in sorted(out.rglob("*.py"))}


def expected(case: Path) -> dict[str, str]:
    """The checked-in files of a case, by path."""
    root = case / "expected"
    return {p.relative_to(root).as_posix(): p.read_text() for p in sorted(root.rglob("*.py"))}


@pytest.mark.parametrize("name", NAMES)
def test_output_is_exactly_as_expected(name: str, tmp_path: Path) -> None:
    assert run_plugin(CASES / name, tmp_path) == expected(CASES / name)


@pytest.mark.parametrize("name", [name for name in NAMES if (CASES / name / "usage.py").is_file()])
def test_generated_modules_do_what_usage_says(name: str, tmp_path: Path) -> None:
    case = CASES / name
    shutil.copytree(case / "expected", tmp_path, dirs_exist_ok=True)
    run_protoc([case, include_dir()], [f"--python_out={tmp_path}"], inputs(case))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    command = [sys.executable, "-W", "error", str(case / "usage.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_generated_modules_are_formatted_as_ruff_would() -> None:
    ruff = Path(sys.executable).with_name("ruff")
    options = ["--isolated", "--line-length", "120", "--no-cache"]
    targets = [str(CASES / name / "expected") for name in NAMES if (CASES / name / "expected").is_dir()]
    done = subprocess.run([ruff, "format", "--diff", *options, *targets], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def write_expected() -> None:
    """Accept what the plugin writes now."""
    for name in NAMES:
        with tempfile.TemporaryDirectory() as scratch:
            found = run_plugin(CASES / name, Path(scratch))
        shutil.rmtree(CASES / name / "expected", ignore_errors=True)
        for path, text in found.items():
            target = CASES / name / "expected" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


if __name__ == "__main__":
    write_expected()
