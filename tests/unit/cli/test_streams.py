"""Standard streams that are closed or full, and encodings that lack characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

KEY = "content:topics:user:é日😀"


def shell(words: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line of the shell."""
    script = f'coherd() {{ "{sys.executable}" -m coherd.cli "$@"; }}; {words}'
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        timeout=200,
        env={**os.environ, "COHERD_TARGET": "127.0.0.1:1", **environment},
    )
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("coherd catalog --builtin > /dev/full", "cannot read or write: No space left on device"),
        ("coherd catalog --builtin --json > /dev/full", "cannot read or write: No space left on device"),
        ("coherd --help > /dev/full", "cannot read or write: No space left on device"),
        ("coherd catalog --builtin --json >&-", "cannot read or write: Bad file descriptor"),
        ("coherd set content:topics:user:u1 - <&-", "stdin: Bad file descriptor"),
        ("coherd replay - <&-", "-: Bad file descriptor"),
    ],
)
def test_a_closed_or_full_stream_is_one_line_and_code_2(words: str, says: str) -> None:
    assert shell(words) == (2, "", f"coherd: {says}\n")


@pytest.mark.parametrize("stderr", ["2> /dev/full", "2>&-"])
def test_an_error_that_cannot_be_written_is_an_exit_code_all_the_same(stderr: str) -> None:
    code, _, _ = shell(f"coherd nonsense {stderr}")
    assert code == 2


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_the_encoding_lacks_is_an_escape(encoding: str) -> None:
    code, out, err = shell("coherd catalog --builtin", PYTHONIOENCODING=encoding)
    assert (code, err) == (0, "")
    assert "user=\\u2026" in out
    code, out, err = shell(f"coherd keys explain {KEY}", PYTHONIOENCODING=encoding)
    assert (code, err) == (0, "")
    assert "\\U0001f600" in out


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_json_is_json_in_every_encoding(encoding: str) -> None:
    code, out, err = shell(f"coherd keys explain {KEY} --json", PYTHONIOENCODING=encoding)
    assert (code, err) == (0, "")
    assert json.loads(out)["key"] == KEY
