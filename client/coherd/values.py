"""Values that are not plain JSON: how they are written, said once per resource::

    Profiles = with_values(psychology.Profile, PydanticCodec(Profile))

    await cache.set(Profiles(user="user123"), Profile(openness=0.7))
    await cache.get(Profiles(user="user123"))  # a Profile, or None

What is stored is JSON all the same, which other languages and the command line read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NoReturn, ParamSpec, Protocol, TypeVar, cast

import orjson

from coherd.codec import (
    JSON,
    JsonCodec,
    JsonObjectCodec,
    ValueDecodeError,
    ValueEncodeError,
    framed,
    json_text,
    unframed,
)
from coherd.key import Key, KeyClass

P = ParamSpec("P")
V = TypeVar("V")


class ValueCodec(Protocol[V]):
    """Turns values of one type into JSON text and back. What it raises becomes a `ValueEncodeError`, or makes what is
    stored an `UndecodableValue`."""

    def to_json(self, value: V, /) -> bytes:
        """JSON text in UTF-8, of a value of the type; of another one it raises."""
        ...

    def from_json(self, text: bytes, /) -> V:
        """A new value on each call."""
        ...


class Adapter(Protocol[V]):
    """What `PydanticCodec` needs of a ``pydantic.TypeAdapter``."""

    def dump_json(self, instance: V, /, *, by_alias: bool | None = ..., warnings: bool = ...) -> bytes:
        """JSON text of a value."""
        ...

    def validate_json(self, data: str | bytes | bytearray, /) -> V:
        """The value of JSON text."""
        ...


class PydanticCodec(Generic[V]):
    """Values of a Pydantic model (version 2), or of any type through a ``pydantic.TypeAdapter``: dataclasses, enums,
    `Decimal`, `datetime`, `UUID`, lists and unions of these.

    Models are written with their aliases. A value that would not come back equal is refused: one with a field that is
    left out, a `SecretStr`, NaN, or an instance of a subclass.

    Args:
        kind: the model class, or the adapter.

    Raises:
        TypeError: it is neither.
    """

    def __init__(self, kind: type[V] | Adapter[V]) -> None:
        model, adapter = cast(Any, kind), cast(Any, kind)
        self._dump: Callable[..., Any]
        self._load: Callable[[bytes], V]
        self._model: type[V] | None = None
        if isinstance(kind, type) and hasattr(kind, "model_validate_json"):
            self._model, self._dump, self._load = kind, model.model_dump_json, model.model_validate_json
        elif not isinstance(kind, type) and hasattr(kind, "validate_json"):
            self._dump, self._load = adapter.dump_json, adapter.validate_json
        else:
            raise TypeError(
                f"PydanticCodec takes a model class of Pydantic 2, or a TypeAdapter, not {_name(kind)}: "
                "of other types write PydanticCodec(TypeAdapter(…))"
            )

    def to_json(self, value: V, /) -> bytes:
        """The JSON text of a value, which was seen to come back equal."""
        if self._model is not None and type(value) is not self._model:
            raise ValueEncodeError(f"the value must be a {self._model.__name__}, not {type(value).__name__}")
        text = self._dump(value, by_alias=True, warnings=False)  # whose text would show the value
        text = text.encode() if isinstance(text, str) else text
        again = self._load(text)
        if type(again) is not type(value) or again != value:
            raise ValueEncodeError(
                f"a value of type {type(value).__name__} does not come back equal from its JSON: a part of it is left "
                "out, masked, NaN, or of another type than declared"
            )
        return cast(bytes, text)

    def from_json(self, text: bytes, /) -> V:
        """The validated value."""
        return self._load(text)


class CustomCodec(Generic[V]):
    """Values by two functions of the user's: to a plain JSON document, and back. What they lose is lost.

    Args:
        dump: a document of a value, from dicts, lists, strings, numbers, bools and None.
        load: the value of a document.

    Raises:
        TypeError: one is no function.
    """

    def __init__(self, dump: Callable[[V], Any], load: Callable[[Any], V]) -> None:
        for name, given in (("dump", dump), ("load", load)):
            if not callable(given):
                raise TypeError(f"CustomCodec takes two functions, dump and load: {name} is {_name(given)}")
        self._dump = dump
        self._load = load

    def to_json(self, value: V, /) -> bytes:
        """The JSON text of the document."""
        return json_text(self._dump(value))

    def from_json(self, text: bytes, /) -> V:
        """The value of the document."""
        return self._load(JSON.decode(framed(text)))


class _CodecOfJson(Generic[V]):
    """A codec of payloads that hold JSON.

    Args:
        values: turns values into JSON text and back.
        is_object: the resource holds JSON objects only.
    """

    type_name: str = JsonCodec.type_name

    def __init__(self, values: ValueCodec[V], is_object: bool) -> None:
        self._values = values
        self._is_object = is_object

    def encode(self, value: V) -> bytes:
        try:
            text = self._values.to_json(value)
            document = orjson.loads(text)
        except ValueEncodeError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever keeps a value from being written
            # Without its cause, whose text may show the value.
            what = f"a value of type {type(value).__name__} cannot be written by its {_name(type(self._values))}"
            raise ValueEncodeError(f"{what}: {type(error).__name__}") from None
        if self._is_object and type(document) is not dict:
            raise ValueEncodeError(f"the resource holds JSON objects, but a {type(value).__name__} is written as none")
        return framed(text)

    def decode(self, payload: bytes) -> V:
        text = unframed(payload)
        try:
            return self._values.from_json(text)
        except Exception as error:  # noqa: BLE001 - whatever it is, the stored value is not of the type
            what = f"the stored value cannot be read by its {_name(type(self._values))}"
            raise ValueDecodeError(f"{what}: {type(error).__name__}") from None


class _KeyWithValues:
    """What key classes of `with_values` have beside those they are made of."""

    __slots__ = ()

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, _: object) -> Any:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a key of with_values cannot be pickled, since its codec cannot: send str(key), and parse that where it "
            "arrives"
        )


def with_values(keys: Callable[P, Key[Any]], codec: ValueCodec[V]) -> KeyClass[P, V]:
    """A key class for the same keys, whose values are written and read by a codec: to all verbs, and to type checkers.

    Its keys equal those of the class it is made of. Everybody who reads or writes a resource should use the same.

    Args:
        keys: a generated key class of a resource that holds JSON, or `coherd.OpenKey`.
        codec: of the values: `PydanticCodec`, `CustomCodec`, or anything with ``to_json`` and ``from_json``.

    Raises:
        TypeError: an argument is none of these, or the resource holds messages.
    """
    if not (isinstance(keys, type) and issubclass(keys, Key)):
        raise TypeError(f"with_values takes a key class, such as analytics.Daily, not {_name(keys)}")
    if isinstance(codec, type) or not (hasattr(codec, "to_json") and hasattr(codec, "from_json")):
        raise TypeError(f"with_values takes a codec, such as PydanticCodec(Model), not {_name(codec)}")
    base = keys.codec
    if not isinstance(base, JsonCodec):
        held = "values of another codec" if isinstance(base, _CodecOfJson) else f"{base.type_name} messages"
        raise TypeError(f"with_values is for resources that hold JSON; {keys.__name__} holds {held}")
    own = {
        "__slots__": (),
        "__module__": keys.__module__,
        "__doc__": keys.__doc__,
        "codec": _CodecOfJson(codec, isinstance(base, JsonObjectCodec)),
    }
    return cast("KeyClass[P, V]", type(keys.__name__, (_KeyWithValues, keys), own))


def _name(thing: object) -> str:
    return thing.__name__ if isinstance(thing, type) else f"an object of {type(thing).__name__}"
