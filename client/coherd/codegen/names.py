"""Names in generated Python: modules, classes, parameters and properties, and which ones are taken."""

from __future__ import annotations

import keyword
from typing import Final

from coherd.key import Key, parameter_name

_TAKEN_IN_CLASS: Final = (
    frozenset(dir(Key)) | {"codec", "domain", "resource"} | {"bool", "cast", "datetime", "int", "property", "str"}
)
"""Attributes of keys, and names that annotations and decorators of a key class use."""
_TAKEN_IN_MODULE: Final = frozenset(
    {"Any", "DateLike", "Final", "JSON", "JSON_OBJECT", "Key", "Literal", "MessageCodec"}
    | {"NamedInvalidation", "Self", "TypeAlias"}
)
"""Names that generated modules import."""


def property_name(identifier: str) -> str:
    """The read-only property of an identifier; ``count_`` where a text has a method ``count``.

    A property named like a ``_pb2`` module would stand in the way of annotations that name a type of it.
    """
    name = parameter_name(identifier)
    return name + "_" if name in _TAKEN_IN_CLASS or name.endswith("_pb2") else name


def class_name(name: str) -> str:
    """``Daily`` of rpc ``Daily``, ``User`` of invalidation ``user``; ``Key_`` of a name that is imported there.

    Raises:
        ValueError: nothing that Python could name a class is left of it.
    """
    camel = _camel(name)
    if not camel.isidentifier():
        raise ValueError(f"Python cannot name a class after {name}; rename it")
    return _free(camel)


def alias_name(class_: str, identifier: str) -> str:
    """The type of an enum identifier: ``CartSize`` of ``Cart``, ``size``."""
    return _free(class_ + _camel(identifier))


def constant_name(alias: str) -> str:
    """The private constant that holds an enum identifier's texts: ``_CartSizeTexts`` of ``CartSize``.

    Not in capitals, which would be the same for ``CartSize`` and ``CARTSize``.
    """
    return f"_{alias}Texts"


def _camel(name: str) -> str:
    return "".join(word[0].upper() + word[1:] for word in name.split("_") if word)


def _free(camel: str) -> str:
    return camel + "_" if keyword.iskeyword(camel) or camel in _TAKEN_IN_MODULE else camel


def module_path(proto: str, suffix: str) -> str:
    """Path of a module that is generated for a ``.proto`` file, as protoc's own Python generator names it."""
    return proto.removesuffix(".proto").replace("-", "_").replace(".", "/") + suffix


def module_name(proto: str, suffix: str) -> str:
    """Dotted name of such a module.

    Raises:
        ValueError: a part of it is a Python keyword, or no name, which an import statement cannot name.
    """
    name = module_path(proto, suffix).replace("/", ".")
    for part in name.split("."):
        if not part.isidentifier() or keyword.iskeyword(part):
            raise ValueError(f"{proto}: {part!r} in its path cannot be imported by Python; rename it")
    return name
