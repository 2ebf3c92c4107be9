"""Where gevent or eventlet has replaced Python's threads and sockets, `connect` says so instead of hanging later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STAND_INS = {
    "gevent": {
        "gevent/__init__.py": "",
        "gevent/monkey.py": "saved = {}\n"
        "def patch_all(**but):\n"
        "    names = {'socket': ['socket'], 'select': ['select'], 'thread': ['threading', '_thread'], 'ssl': ['ssl']}\n"
        "    saved.update((module, 1) for word, of in names.items() if but.get(word, True) for module in of)\n"
        "def is_module_patched(name): return name in saved\n",
    },
    "eventlet": {
        "eventlet/__init__.py": "from eventlet import patcher\nmonkey_patch = patcher.monkey_patch\n",
        "eventlet/patcher.py": "already = {}\n"
        "def monkey_patch(**but):\n"
        "    names = ('os', 'select', 'socket', 'thread', 'time')\n"
        "    already.update((word, 1) for word in names if but.get(word, True))\n"
        "def is_monkey_patched(name): return name in already\n",
    },
}
"""What is asked of them, as gevent 25 and eventlet 0.40 have it."""
ALL = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
SOME = {
    "gevent": "from gevent import monkey; monkey.patch_all(thread=False, socket=False, select=False)",
    "eventlet": "import eventlet; eventlet.monkey_patch(thread=False, socket=False, select=False)",
}
CONNECT = """
import coherd, coherd.sync
for client in (coherd.CacheClient, coherd.sync.CacheClient):
    try:
        client.connect("localhost:1")
        print("connected")
    except RuntimeError as error:
        print(error)
"""


def said(tmp_path: Path, library: str, patch: str) -> list[str]:
    for name, text in STAND_INS[library].items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    command = (sys.executable, "-c", patch + CONNECT)
    environ = {"PYTHONPATH": f"{tmp_path}:{ROOT / 'client'}"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("library", STAND_INS)
def test_replaced_threads_are_told_at_connect(tmp_path: Path, library: str) -> None:
    lines = said(tmp_path, library, ALL[library])
    assert len(lines) == 2
    for line in lines:
        assert line.startswith(
            f"{library} has replaced socket, select, threading, _thread in this process: Coherd needs"
        )
        assert "--worker-class gthread" in line


@pytest.mark.parametrize("library", STAND_INS)
def test_what_is_imported_or_replaced_in_part_disturbs_nothing(tmp_path: Path, library: str) -> None:
    assert said(tmp_path, library, SOME[library]) == ["connected"] * 2
    assert said(tmp_path, library, f"import {library}") == ["connected"] * 2
