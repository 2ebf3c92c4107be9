"""Blocking twins of coroutine methods: of the asynchronous client's verbs, and of the familiar services."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from types import FunctionType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


class Twin(Protocol):
    """Makes a plain method of a coroutine method, with the same parameters, overloads and result.

    Type checkers find the overloads only where the coroutine method is the single argument.
    """

    def __call__(
        self, verb: Callable[Concatenate[S, P], Coroutine[Any, Any, T]], /
    ) -> Callable[Concatenate[Any, P], T]:
        """The plain method."""
        ...


def blocking(verb: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Any, P], T]:
    """A plain method that waits for a coroutine method and has its parameters, overloads, result and docstring::

        set = blocking(AsyncClient.set)

    Its object has ``_asynchronous``, the object with the coroutine method, and ``_wait``, which answers the result of a
    coroutine.
    """

    def wait(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait(verb(self._asynchronous, *args, **kwargs))  # type: ignore[no-any-return]

    # With the globals of the verb, in which its annotations are resolved; so the body may use no other globals.
    there = cast(FunctionType, verb).__globals__
    return done_by(FunctionType(wait.__code__, there, None, None, wait.__closure__))(verb)


def done_by(method: Callable[..., Any]) -> Twin:
    """As `blocking`, where there is more to do than to wait: the method does it, in the words of the coroutine method::

    get = done_by(_get)(AsyncClient.get)
    """

    def twin(verb: Callable[..., Any], /) -> Callable[..., Any]:
        # Not `functools.wraps`: who follows ``__wrapped__`` would find a coroutine function, and await the answer.
        for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
            setattr(method, name, getattr(verb, name))
        method.__signature__ = inspect.signature(verb)  # type: ignore[attr-defined]
        return method

    return twin
