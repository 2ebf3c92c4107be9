"""Generated code: the protoc plugin ``protoc-gen-coherd`` and what regenerates the checked-in files.

A catalog of one's own is compiled against our options; `include_dir` says where they are::

    python -m grpc_tools.protoc -I protos -I "$(python -m coherd.codegen)" --coherd_out=gen … protos/shop/v1/shop.proto
"""

from __future__ import annotations

from pathlib import Path


def include_dir() -> Path:
    """Directory to give protoc as ``-I`` so that ``import "coherd/v1/annotations.proto"`` is found.

    In a wheel the ``.proto`` files are package data (``coherd/_protos``); in a checkout they are the repository's.

    Raises:
        FileNotFoundError: the installation carries no ``.proto`` files.
    """
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_protos", package.parents[1] / "protos"):
        if (candidate / "coherd" / "v1" / "annotations.proto").is_file():
            return candidate
    raise FileNotFoundError("this installation of coherd carries no .proto files")
