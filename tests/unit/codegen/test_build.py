"""``make gen`` and ``make gen-check``: what is stale is told by name, and generating twice gives the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from coherd.codegen import build, include_dir

ROOT = Path(__file__).parents[3]


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    """A copy of what is generated from and to."""
    for name in ("protos", "client", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def check(root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and output of ``--check``."""
    code = build.main(["--check", "--root", str(root)])
    return code, capsys.readouterr().out


def test_what_is_checked_in_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(ROOT, capsys) == (0, "everything generated is current\n")


def test_stale_files_are_named_and_settled(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    domains = checkout / "client/coherd/domains"
    (domains / "analytics/v1/analytics_coherd.py").write_text("# edited\n")
    (domains / "builtin.binpb").unlink()
    (domains / "gone/v1").mkdir(parents=True)
    (domains / "gone/v1/gone_pb2.py").write_text("")
    (checkout / "docs/use/key-vectors.json").write_text("{}")
    code, told = check(checkout, capfd)
    stale = [
        "differs: client/coherd/domains/analytics/v1/analytics_coherd.py",
        "differs: docs/use/key-vectors.json",
        "missing: client/coherd/domains/builtin.binpb",
        "superfluous: client/coherd/domains/gone/v1/gone_pb2.py",
    ]
    assert (code, told.splitlines()) == (1, [*stale, "run: make gen"])
    assert build.main(["--root", str(checkout)]) == 0
    capfd.readouterr()
    assert check(checkout, capfd) == (0, "everything generated is current\n")
    assert not (domains / "gone/v1/gone_pb2.py").exists()


def test_a_changed_declaration_makes_its_files_stale(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = checkout / "protos/coherd/domains/content/v1/content.proto"
    proto.write_text(proto.read_text().replace("seconds: 3600", "seconds: 3601"))
    code, told = check(checkout, capsys)
    assert code == 1
    assert {line.rpartition("/")[2] for line in told.splitlines()[:-1]} == {
        "content_pb2.py",
        "content_coherd.py",
        "builtin.binpb",
        "catalog-reference.md",
    }


def test_a_catalog_that_does_not_generate_is_told(checkout: Path) -> None:
    proto = checkout / "protos/coherd/domains/content/v1/content.proto"
    proto.write_text(proto.read_text().replace('tags: "user"', 'tags: "usr_"').replace("open: true", ""))
    with pytest.raises(build.CatalogRefused, match="tag 'usr_' is not an identifier"):
        build.main(["--check", "--root", str(checkout)])


def test_our_options_are_found_in_a_checkout_and_in_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert include_dir() == ROOT / "protos"
    package = tmp_path / "site-packages" / "coherd"
    monkeypatch.setattr("coherd.codegen.__file__", str(package / "codegen" / "__init__.py"))
    with pytest.raises(FileNotFoundError, match=r"no \.proto files"):
        include_dir()
    shutil.copytree(ROOT / "protos", package / "_protos")
    assert include_dir() == package / "_protos"
