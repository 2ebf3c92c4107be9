"""The hook of the build: an installation never fails by what is optional, and says what it left out."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hook(build: ModuleType, target: str = "wheel") -> Any:
    return build.CustomBuildHook(str(ROOT), {}, Mock(), Mock(), "", target, Mock())


def built(build: ModuleType, version: str = "standard") -> tuple[dict[str, Any], list[str]]:
    """What the hook adds to a build, and what it warns of."""
    one = hook(build)
    data: dict[str, Any] = {"force_include": {}, "pure_python": True, "infer_tag": False}
    one.initialize(version, data)
    one.finalize(version, data, "")
    return data, [call.args[0] for call in one.app.display_warning.call_args_list]


PURE = {"force_include": {}, "pure_python": True, "infer_tag": False}


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"CC": "no-such-compiler -pthread"}, "there is no C compiler: no-such-compiler was not found"),
        ({"COHERD_PURE": "1"}, "COHERD_PURE=1"),
    ],
)
def test_where_nothing_can_be_compiled_nothing_is_installed_for_it(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], why: str
) -> None:
    monkeypatch.delenv("COHERD_PURE", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert hook(build).dependencies() == []
    data, warnings = built(build)
    assert data == PURE
    assert [text.rpartition("Python. ")[2] for text in warnings] == [why]


def test_python_without_headers(build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda name: name)
    monkeypatch.setattr(build.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.delenv("COHERD_PURE", raising=False)
    assert hook(build).dependencies() == []
    assert "python3-dev" in built(build)[1][0]


@pytest.mark.parametrize("error", [RuntimeError("the compiler failed"), SystemExit(1), ImportError("Cython")])
@pytest.mark.parametrize("version", ["standard", "editable"])
def test_a_build_that_fails_is_told_and_left_out(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, error: BaseException, version: str
) -> None:
    monkeypatch.setattr(build, "obstacle", lambda: None)
    monkeypatch.setattr(build, "compile_module", Mock(side_effect=error))
    data, warnings = built(build, version)
    assert data == PURE
    assert len(warnings) == 1
    assert type(error).__name__ in warnings[0]


def test_what_is_compiled_goes_into_the_wheel_or_beside_its_source(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    into: list[Path] = []

    def compile_module(root: Path, folder: Path) -> Path:
        into.append(folder)
        return folder / "compiled.so"

    monkeypatch.setattr(build, "obstacle", lambda: None)
    monkeypatch.setattr(build, "compile_module", compile_module)
    data, warnings = built(build)
    assert warnings == []
    assert list(data["force_include"].values()) == ["coherd/_native/compiled.so"]
    assert (data["pure_python"], data["infer_tag"]) == (False, True)
    assert not into[0].exists(), "cleared away"
    assert built(build, "editable") == (PURE, [])
    assert into[1] == ROOT / build.FOLDER
    assert hook(build).dependencies() == build.REQUIREMENTS


def test_a_source_package_needs_none_of_it(build: ModuleType) -> None:
    one = hook(build, "sdist")
    one.initialize("standard", {})
    assert one.dependencies() == []
    one.app.display_warning.assert_not_called()


def test_the_tools_have_the_pinned_versions_too(build: ModuleType) -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for requirement in build.REQUIREMENTS:
        assert f'"{requirement}"' in project
