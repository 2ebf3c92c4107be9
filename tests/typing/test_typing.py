"""Types flow through: mypy --strict and pyright accept what they must, and refuse what they must, line by line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from coherd.codegen import include_dir
from coherd.codegen.protoc import run_protoc

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES = ROOT / "tests" / "unit" / "codegen" / "cases"
GENERATED = ("ordinary", "all_types", "hostile_names", "hostile_comments", "two_modules")

Errors: TypeAlias = dict[str, set[int]]
"""Lines with errors, by file name."""
Check: TypeAlias = Callable[[Path], tuple[Errors, str]]


MYPY_SETTINGS = """
[mypy]
strict = true
show_column_numbers = true
[mypy-coherd.domains.*,input_pb2,a.*,b.*]
# protoc's own stubs leave the arguments of mappings out.
disable_error_code = type-arg
[mypy-grpc.*,google.rpc.*,coherd.v1.*]
ignore_errors = true
ignore_missing_imports = true
"""


def mypy(directory: Path) -> tuple[Errors, str]:
    """What ``mypy --strict`` refuses in a directory, and its words."""
    config = directory / "mypy.ini"
    config.write_text(MYPY_SETTINGS)
    cache = directory.parent / "mypy-cache"  # what the tests have in common is checked once
    command = [sys.executable, "-m", "mypy", f"--config-file={config}", f"--cache-dir={cache}"]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join([str(ROOT / "client"), str(directory)])}
    done = subprocess.run(
        [*command, "--explicit-package-bases", "."],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert re.search(r"checked \d+ source file|no issues found in \d+", done.stdout), done.stdout
    errors: Errors = {}
    for path, line in re.findall(r"^(\S+?):(\d+):\d+: error:", done.stdout, re.MULTILINE):
        errors.setdefault(Path(path).name, set()).add(int(line))
    return errors, done.stdout


def pyright(directory: Path) -> tuple[Errors, str]:
    """What pyright refuses in a directory, and its words."""
    settings = {"include": ["."], "extraPaths": [str(ROOT / "client")], "pythonVersion": "3.11"}
    (directory / "pyrightconfig.json").write_text(json.dumps({**settings, "typeCheckingMode": "standard"}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] > 0, done.stdout
    errors: Errors = {}
    for found in report["generalDiagnostics"]:
        if found["severity"] == "error":
            errors.setdefault(Path(found["file"]).name, set()).add(found["range"]["start"]["line"] + 1)
    return errors, done.stdout


CHECKERS = pytest.mark.parametrize("check", [mypy, pyright])


def marked_lines(path: Path) -> set[int]:
    """Numbers of the lines that end in ``# refused``."""
    return {n for n, line in enumerate(path.read_text().splitlines(), 1) if line.endswith("# refused")}


@CHECKERS
@pytest.mark.timeout(300)
def test_types_of_the_client(check: Check, tmp_path: Path) -> None:
    shutil.copy(HERE / "accepted.py", tmp_path)
    shutil.copy(HERE / "refused.py.txt", tmp_path / "refused.py")  # not a module: whole-tree checks leave it alone
    errors, words = check(tmp_path)
    assert errors == {"refused.py": marked_lines(tmp_path / "refused.py")}, words


def blocking_twin(path: Path) -> str:
    """The same module for the blocking client."""
    text = re.sub(r"\b(async (?=def )|await )", "", path.read_text())
    text = text.replace("from coherd.client import", "from coherd.sync import")
    text = text.replace("from coherd import CacheClient, ", "from coherd.sync import CacheClient\nfrom coherd import ")
    assert "from coherd.sync" in text
    assert not re.search(r"\b(await|async)\b", text)
    return text


COROUTINES_ARE_REFUSED = """

async def coroutine_loader(key: celery.TaskMetrics) -> celery_pb2.TaskMetrics:
    return celery_pb2.TaskMetrics()


def coroutines(cache: CacheClient) -> None:
    cache.get_or_load(celery.TaskMetrics(id="x"), coroutine_loader)  # refused
    cache.cached(celery.TaskMetrics)(coroutine_loader)  # refused
    cache.get_or_load(celery.TaskMetrics(id="x"), lambda key: celery_pb2.TaskMetrics())
"""


@CHECKERS
@pytest.mark.timeout(300)
def test_types_of_the_blocking_client(check: Check, tmp_path: Path) -> None:
    (tmp_path / "accepted.py").write_text(blocking_twin(HERE / "accepted.py"))
    (tmp_path / "client_verbs.py").write_text(blocking_twin(HERE / "client_verbs.py"))
    (tmp_path / "refused.py").write_text(blocking_twin(HERE / "refused.py.txt") + COROUTINES_ARE_REFUSED)
    errors, words = check(tmp_path)
    assert errors == {"refused.py": marked_lines(tmp_path / "refused.py")}, words


@CHECKERS
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", GENERATED)
def test_generated_modules_are_clean(check: Check, name: str, tmp_path: Path) -> None:
    case = CASES / name
    inputs = sorted(path.relative_to(case).as_posix() for path in case.rglob("*.proto"))
    run_protoc([case, include_dir()], [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"], inputs)
    shutil.copytree(case / "expected", tmp_path, dirs_exist_ok=True)
    errors, words = check(tmp_path)
    assert "input_coherd.py" not in errors, words


@CHECKERS
@pytest.mark.timeout(300)
def test_the_example_of_an_own_catalog_is_typed(check: Check, tmp_path: Path) -> None:
    shop = ROOT / "examples" / "shop"
    plugin = Path(sys.executable).with_name("protoc-gen-coherd")
    arguments = [f"--plugin=protoc-gen-coherd={plugin}", f"--coherd_out=facade:{tmp_path}"]
    arguments += [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    run_protoc([shop / "protos", include_dir()], arguments, ["shop/v1/shop.proto"])
    demo = (shop / "demo.py").read_text()
    wrong = 'async def wrong(cache: CacheClient) -> None:\n    shop.Cart(customer="ann", channel="fax")  # refused\n'
    (tmp_path / "demo.py").write_text(f"{demo}\n\n{wrong}")
    errors, words = check(tmp_path)
    assert {name: lines for name, lines in errors.items() if not name.endswith("_pb2.pyi")} == {
        "demo.py": marked_lines(tmp_path / "demo.py")
    }, words
