"""Errors that several callers get: each a copy of its own, whatever class they are of.

One exception object that is raised in many callers has one traceback, which grows with each of them, and one context:
what a caller does to it shows in all others.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final, TypeAlias

_Copies: TypeAlias = "dict[int, BaseException]"
"""By `id` of the original."""

_HEAP_TYPE: Final = 1 << 9
"""Flag of a class that was made at run time, in Python or by an extension."""
_UNSET: Final = object()
_COMMON: Final = vars(BaseException)
"""What every error has, to be set past a ``__setattr__`` of its class."""


def own_error(error: BaseException) -> BaseException:
    """A copy of an error that is itself raised nowhere any more, for one of its callers.

    It has class, arguments, attributes and traceback of the original, and copies of all errors that hang on that:
    causes, contexts, members of groups, and those in attributes. Plain lists, dicts, sets and tuples in attributes are
    copied too; other objects are shared. No ``__init__`` is run. An error of a class in C that cannot be copied is a
    RuntimeError that names it.
    """
    try:
        return _copied(error)
    except Exception:  # noqa: BLE001 - whatever keeps a class from being copied
        text = f"the load failed with {type(error).__name__}, which cannot be copied for each of its callers"
        return RuntimeError(text).with_traceback(error.__traceback__)


def _copied(error: BaseException) -> BaseException:
    originals = {id(error): error}
    todo = [error]
    while todo:  # not by recursion: chains may be longer than the stack is deep
        for other in _hanging_on(todo.pop()):
            if id(other) not in originals:
                originals[id(other)] = other
                todo.append(other)
    copies: _Copies = {}
    for one in originals.values():
        _copy_bare(one, copies)
    for one in originals.values():
        _complete(one, copies)
    return copies[id(error)]


def _hanging_on(error: BaseException) -> Iterator[BaseException]:
    for link in (error.__cause__, error.__context__):
        if link is not None:
            yield link
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    yield from _errors_in((*members, *error.args, *error.__dict__.values()))


def _errors_in(values: Iterable[Any]) -> Iterator[BaseException]:
    for value in values:
        if isinstance(value, BaseException):
            yield value
        elif type(value) in (list, set, tuple, dict):
            within = value.values() if type(value) is dict else value
            yield from (each for each in within if isinstance(each, BaseException))


def _copy_bare(error: BaseException, copies: _Copies) -> BaseException:
    """A copy without what hangs on it, but for the members of a group."""
    known = copies.get(id(error))
    if known is not None:
        return known
    kind = type(error)
    if _has_hidden_parts(kind):
        new = copy.copy(error)
        if type(new) is not kind or new is error:
            raise TypeError("its copy is something else")
    else:
        # Made by the interpreter's own class: one in Python may want other arguments than it keeps.
        builtin: Any = next(each for each in kind.__mro__ if not each.__flags__ & _HEAP_TYPE)
        arguments = error.args
        if isinstance(error, BaseExceptionGroup):
            arguments = (error.message, [_copy_bare(member, copies) for member in error.exceptions])
        new = builtin.__new__(kind, *arguments)
        _copy_fields(error, new)
    copies[id(error)] = new
    return new


def _has_hidden_parts(kind: type[BaseException]) -> bool:
    """Whether an extension in C added fields to it, which only its own way of copying knows."""
    for each in kind.__mro__[:-1]:
        base = each.__base__
        if not each.__flags__ & _HEAP_TYPE:
            return each.__module__ != "builtins"
        grew = base is not None and each.__basicsize__ > base.__basicsize__
        if grew and not {"__slots__", "__weakref__"} & vars(each).keys():
            return True
    return False


def _copy_fields(error: BaseException, new: BaseException) -> None:
    """What an error has beside arguments and ``__dict__``: ``errno``, ``__slots__``."""
    for kind in type(error).__mro__:
        if kind in (BaseException, object):
            return
        for field in vars(kind).values():
            if not isinstance(field, (MemberDescriptorType, GetSetDescriptorType)):
                continue
            value = _value(field, error)
            if value is not _UNSET and value is not _value(field, new):
                with contextlib.suppress(AttributeError, TypeError):  # set when it was made, for good
                    field.__set__(new, value)


def _value(field: MemberDescriptorType | GetSetDescriptorType, error: BaseException) -> Any:
    try:
        return field.__get__(error)
    except AttributeError:
        return _UNSET


def _complete(error: BaseException, copies: _Copies) -> None:
    new = copies[id(error)]
    for name, link in (("__cause__", error.__cause__), ("__context__", error.__context__)):
        _COMMON[name].__set__(new, None if link is None else copies[id(link)])
    for name in ("__suppress_context__", "__traceback__"):
        _COMMON[name].__set__(new, getattr(error, name))
    _COMMON["args"].__set__(new, tuple(_own_value(value, copies) for value in error.args))
    attributes = new.__dict__
    attributes.clear()
    attributes.update((name, _own_value(value, copies)) for name, value in error.__dict__.items())


def _own_value(value: Any, copies: _Copies) -> Any:
    if isinstance(value, BaseException):
        return copies[id(value)]
    if type(value) in (list, set, tuple):
        return type(value)(copies.get(id(each), each) for each in value)
    if type(value) is dict:
        return {name: copies.get(id(each), each) for name, each in value.items()}
    return value
