"""The arguments of a cached function as those of its key: defaults applied, by name where the key has the names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import timedelta
from inspect import Parameter
from typing import Any, Final, cast

from coherd._calls.messages import ttl_ms

_OWN: Final = ("self", "cls")
"""First parameters of methods: given to the key only if it takes them."""
_BY_NAME: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
USAGE: Final = "write @cache.cached(key), where key makes the key of the function's arguments: a key class, or a lambda"


def checked_key(key: object) -> None:
    """Raises:
    TypeError: it cannot be what makes keys, as the function under a bare ``@cache.cached``.
    """
    if not callable(key) or inspect.iscoroutinefunction(key) or isinstance(key, (classmethod, staticmethod)):
        raise TypeError(f"cached got {_name(key)} for the key: {USAGE}")


def checked_function(function: object) -> None:
    """Raises:
    TypeError: it is no function, as where the one under a bare ``@cache.cached`` is called.
    """
    if not callable(function) and not isinstance(function, (classmethod, staticmethod)):
        raise TypeError(f"cached decorates a function, not {_name(function)}: {USAGE}")


def checked_terms(ttl: object, nothing_ttl: object, tags: object) -> None:
    """Raises:
    TypeError: a TTL is no timedelta, or the tags no function.
    """
    for name, given in (("ttl", ttl), ("nothing_ttl", nothing_ttl)):
        ttl_ms(cast("timedelta | None", given), name)
    if tags is not None and not callable(tags):
        raise TypeError(f"tags is a function of the cached function's arguments, not of type {type(tags).__name__}")


def arguments_for(maker: Callable[..., Any], function: Callable[..., Any], what: str) -> Callable[..., Any]:
    """Calls what makes a key, or tags, with the arguments of a function.

    Args:
        maker: a key class or a function.
        function: whose arguments there will be.
        what: the maker is for.

    Raises:
        TypeError: the maker does not take the function's arguments.
    """
    taken = inspect.signature(function)
    parameters = list(taken.parameters.values())
    try:
        made_of = inspect.signature(maker)
    except (TypeError, ValueError):  # it does not say
        return maker
    names = [parameter.name for parameter in made_of.parameters.values() if parameter.kind in _BY_NAME]
    takes_all = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in made_of.parameters.values())
    drops_first = bool(parameters) and parameters[0].name in _OWN and parameters[0].name not in names
    given = parameters[1:] if drops_first else parameters
    fixed = [each for each in given if each.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    is_fixed = len(fixed) == len(given)
    by_name = all(takes_all or each.name in names for each in fixed) and not any(
        each.kind is Parameter.VAR_POSITIONAL for each in given
    )
    if is_fixed:
        try:
            if by_name:
                made_of.bind(**{each.name: None for each in fixed})
            else:
                keywords = {each.name: None for each in fixed if each.kind is Parameter.KEYWORD_ONLY}
                made_of.bind(*(None for each in fixed if each.kind is not Parameter.KEYWORD_ONLY), **keywords)
        except TypeError as error:
            asked = ", ".join(each.name for each in fixed)
            raise TypeError(
                f"the {what} of {_name(function)} cannot be made of its arguments ({asked}): {_name(maker)} takes "
                f"{made_of.replace(return_annotation=inspect.Signature.empty)}; {error}. Name the arguments alike, or "
                "give a lambda that takes them all, those that are no part of it as **_"
            ) from None

    def make(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = taken.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(_misfit(function, parameters, error)) from None
        bound.apply_defaults()
        if by_name:
            chosen = {each.name: bound.arguments[each.name] for each in fixed}
            for each in given:
                if each.kind is Parameter.VAR_KEYWORD:
                    chosen.update(bound.arguments[each.name])
            return maker(**chosen)
        return maker(*bound.args[drops_first:], **bound.kwargs)

    return make


def _misfit(function: Callable[..., Any], parameters: Sequence[Parameter], error: TypeError) -> str:
    """Why arguments are not the function's. From Python 3.13 on a `classmethod` hands its class on in calls only."""
    if parameters and parameters[0].name == "cls":
        return f"{_name(function)} is called without its cls: write @cached above @classmethod ({error})"
    return f"{_name(function)}(): {error}"


def _name(thing: object) -> str:
    return getattr(thing, "__name__", None) or f"an object of {type(thing).__name__}"
