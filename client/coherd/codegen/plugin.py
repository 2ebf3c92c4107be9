"""``protoc-gen-coherd``: typed keys for a catalog, from protoc.

``protoc --coherd_out=facade:gen …`` writes ``shop/v1/shop_coherd.py`` for ``shop/v1/shop.proto`` and, with the option
``facade``, the package ``shop`` that re-exports its public names. A file at a path of another form has no facade, which
standard error says.
"""

from __future__ import annotations

import sys
from typing import Final

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import Edition

from coherd.catalog.declared import CatalogError
from coherd.codegen.read import read_modules
from coherd.codegen.render import render_facade, render_module

_OPTIONS: Final = frozenset({"facade"})


def generate(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """The files for a request of protoc; what is wrong with the declarations is the response's ``error``.

    A facade that is asked for and cannot be is a line on standard error, which protoc passes on.
    """
    response = CodeGeneratorResponse(
        supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
        | CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS,
        minimum_edition=Edition.EDITION_PROTO2,
        maximum_edition=Edition.EDITION_2024,
    )
    options = set(filter(None, (option.strip() for option in request.parameter.split(","))))
    if unknown := options - _OPTIONS:
        response.error = f"unknown option {min(unknown)!r}; there is: {', '.join(sorted(_OPTIONS))}"
        return response
    try:
        modules = read_modules(request, facade="facade" in options)
    except CatalogError as error:
        response.error = str(error)
        return response
    for module in modules:
        response.file.add(name=module.path, content=render_module(module))
        if module.facade is not None:
            response.file.add(name=module.facade.path, content=render_facade(module, module.facade.module))
        elif "facade" in options:
            print(f"{module.proto}: no facade: only a path like shop/v1/shop.proto has one", file=sys.stderr)
    return response


def main() -> None:
    """Answer the request on standard input, as protoc asks of a plugin."""
    request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(generate(request).SerializeToString(deterministic=True))
