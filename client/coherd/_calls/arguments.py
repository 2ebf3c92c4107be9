"""Arguments of verbs, checked where the caller is: what is wrong is named, with what was expected, and not shown."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from coherd._calls.messages import not_a_key
from coherd.contract.keys import is_name, tag_text
from coherd.contract.limits import MAX_VERSION, whole_number
from coherd.key import Key

T = TypeVar("T")


def checked_keys(keys: Iterable[Key[Any]], verb: str) -> list[Key[Any]]:
    """Each key once, in their order.

    Raises:
        TypeError: they are no keys, or one key in place of several.
    """
    if isinstance(keys, str):
        raise TypeError(f"{verb} takes several keys, as a list: [key]")
    try:
        wanted = list(keys)
    except TypeError:
        raise TypeError(f"{verb} takes keys, such as a list of them, not {_kind(keys)}") from None
    for key in wanted:
        if not isinstance(key, Key):
            raise not_a_key(key)
    return list(dict.fromkeys(wanted))


def checked_items(items: Any) -> Any:
    """The mapping of `set_many` itself.

    Raises:
        TypeError: it is none.
    """
    if not hasattr(items, "items"):
        raise TypeError(f"set_many takes a mapping from keys to values, such as a dict, not {_kind(items)}")
    return items


def checked_tags(tags: Mapping[str, str | datetime.date] | None) -> dict[str, str] | None:
    """Extra tags as text; days may be dates.

    Raises:
        TypeError: they are no mapping, or a name or value is of another type.
        Refusal: a value is not valid Unicode.
    """
    if tags is None:
        return None
    if not isinstance(tags, Mapping):
        raise TypeError(f'tags is a mapping from identifier names to values, {{"user": "u1"}}, not {_kind(tags)}')
    return {_tag_name(name): tag_text(value, name if is_name(name) else "tags") for name, value in tags.items()}


def _tag_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f'tags is a mapping from identifier names to values, {{"user": "u1"}}; a name is {_kind(name)}')
    if not name.isascii():
        return tag_text(name, "tags")  # the service says which names there are, but must be able to read this one
    return name


def checked_flag(name: str, value: bool) -> bool:
    """The value itself.

    Raises:
        TypeError: it is neither True nor False.
    """
    if value is not True and value is not False:
        raise TypeError(f"{name} is True or False, not {_kind(value)}")
    return value


def checked_version(version: int | None) -> int | None:
    """The item version. One out of its range is left for the service to refuse, but for what no request can carry.

    Raises:
        ValueError: it is no whole number, or none of 64 bits.
    """
    return None if version is None else whole_number("version", version, 0, MAX_VERSION)


def not_a_loader(loader: object) -> TypeError:
    """The error of a loader that is no function. A coroutine, made by calling the function too early, is closed."""
    called = ""
    if inspect.isawaitable(loader):
        called = ": give the function, without calling it"
        if inspect.iscoroutine(loader):
            loader.close()
    return TypeError(f"the loader is a function that takes what is to be loaded, not {_kind(loader)}{called}")


def checked_answer(loaded: object, asked: Iterable[Key[Any]]) -> Mapping[Any, Any]:
    """What a loader of many returned. Keys that nobody asked for are no mistake: it may load more than it must.

    Raises:
        TypeError: it is no mapping by keys.
    """
    if not isinstance(loaded, Mapping):
        raise TypeError(
            "the loader of get_or_load_many returns a mapping from the keys it was given to values, not "
            f"{_kind(loaded)}"
        )
    known = sum(key in loaded for key in asked)
    if len(loaded) > known:
        asked = set(asked)
        wrong = next((each for each in loaded if each not in asked and not isinstance(each, Key)), None)
        if wrong is not None:
            raise TypeError(
                "the loader of get_or_load_many returns a mapping from the keys it was given to values; one of its "
                f"keys is {_kind(wrong)} and was not asked for"
            )
    return loaded


def checked_names(domains: Iterable[str]) -> None:
    """Raises:
    TypeError: a name of a domain is no text.
    """
    for name in domains:
        if not isinstance(name, str):
            raise TypeError(f'domains are given by their names, such as "analytics", not as {_kind(name)}')


def checked_kind(name: str, value: T, kind: type[Any] | tuple[type[Any], ...], wanted: str) -> T:
    """The value itself.

    Args:
        name: of the argument.
        value: what was given.
        kind: what it must be an instance of.
        wanted: the same in words.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {wanted}, not {_kind(value)}")
    return value


def _kind(thing: object) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    if thing is None:
        return "None"
    return f"of type {type(thing).__name__}"
