"""Compile `.proto` text in a test."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

from coherd.codegen import include_dir

HEAD = """
syntax = "proto3";
package t;
import "coherd/v1/annotations.proto";
import "coherd/v1/values.proto";
"""
"""What every catalog of a test begins with."""


def compile_text(directory: Path, text: str, *, name: str = "t.proto", imports: bool = True) -> bytes:
    """The compiled descriptor set of a file with this text, which may import our options."""
    source = directory / name
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(text)
    target = directory / f"{name.replace('/', '_')}.binpb"
    arguments = [
        "protoc",
        f"-I{directory}",
        f"-I{include_dir()}",
        f"-I{files('grpc_tools').joinpath('_proto')}",
        f"--descriptor_set_out={target}",
        "--include_source_info",
        *(["--include_imports"] if imports else []),
        name,
    ]
    assert protoc.main(arguments) == 0, f"protoc refused:\n{text}"
    return target.read_bytes()
