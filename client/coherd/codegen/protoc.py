"""Run protoc, as `grpcio-tools` carries it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


class ProtocError(RuntimeError):
    """protoc refused the files; the text is its own."""


def run_protoc(includes: Sequence[Path], arguments: Sequence[str], files: Sequence[str]) -> None:
    """Compile files, in a process of its own because protoc keeps state.

    Args:
        includes: roots of imports, first match wins; the well-known types need none.
        arguments: what to write, for instance ``--python_out=…``.
        files: names relative to a root.

    Raises:
        ProtocError: with protoc's messages.
    """
    command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{root}" for root in includes), *arguments, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProtocError(done.stderr.strip() or f"protoc ended with {done.returncode}")


def compile_set(includes: Sequence[Path], files: Sequence[str], target: Path) -> bytes:
    """Bytes of the descriptor set of files, with imports and comments; also written to ``target``.

    Raises:
        ProtocError: with protoc's messages.
    """
    run_protoc(includes, ["--include_imports", "--include_source_info", f"--descriptor_set_out={target}"], files)
    return target.read_bytes()
