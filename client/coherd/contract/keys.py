"""The key grammar (docs/use/keys.md): ``domain:resource(:name:value)*(:suffix)?``.

Values are UTF-8 with ``: % * ? [ ] { } \\``, space and control characters percent-encoded (upper-case hex of the UTF-8
bytes), so that two different keys never share a text and no value reaches another domain or a Redis hash tag.
Building and parsing are inverse; text that building would not produce is refused. Vectors for other languages are in
``docs/use/key-vectors.json``.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason

MAX_KEY_BYTES: Final = 512
"""Longest key, bytes of UTF-8, without a deployment's prefix."""
MAX_NAME_CHARS: Final = 64
"""Longest name of a domain, resource or identifier."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_UNSAFE: Final = re.compile(r"[\x00-\x20%:*?\[\]{}\\\x7f-\x9f]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{8}", re.ASCII)
_ISO_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

_KEY: Final = ErrorReason.ERROR_REASON_KEY_INVALID
_IDENTIFIER: Final = ErrorReason.ERROR_REASON_IDENTIFIER_INVALID

DateLike = datetime.date | str
"""A day: a `datetime.date`, or text ``YYYYMMDD``."""


class KeyParts(NamedTuple):
    """A key taken apart. Values are decoded text."""

    domain: str
    resource: str
    identifiers: tuple[tuple[str, str], ...]
    """Name and value, in the order they stand in the key."""
    suffix: str | None = None


def is_name(text: object) -> bool:
    """Whether the text can name a domain, resource or identifier: lower snake case, 1..64 characters."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def encode_value(value: str, *, name: str = "value") -> str:
    """Percent-encode a value for use in a key or tag.

    Raises:
        Refusal: IDENTIFIER_INVALID, if it is empty, longer than a key, or holds a lone surrogate.
    """
    if not value:
        raise Refusal(_IDENTIFIER, f"identifier {name!r} is empty", field=name)
    if value.__class__ is not str:
        value = str.__str__(value)
    if len(value) > MAX_KEY_BYTES:
        raise Refusal(_IDENTIFIER, f"identifier {name!r} is longer than {MAX_KEY_BYTES} bytes", field=name)
    if value.isascii():
        return _UNSAFE.sub(_percent, value)
    if _SURROGATE.search(value):
        raise Refusal(_IDENTIFIER, f"identifier {name!r} holds a lone surrogate: not valid Unicode", field=name)
    return _UNSAFE.sub(_percent, value)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode())


def decode_value(encoded: str) -> str:
    """The value of its canonical encoding.

    Raises:
        Refusal: KEY_INVALID, if the text is not what `encode_value` writes.
    """
    if not encoded:
        raise Refusal(_KEY, "a part of the key is empty", field="key")
    if "%" not in encoded:
        if _UNSAFE.search(encoded) or _SURROGATE.search(encoded):
            raise Refusal(_KEY, "the key holds a character that must be percent-encoded", field="key")
        return encoded
    try:
        value = unquote_to_bytes(encoded).decode()
    except UnicodeError:
        raise Refusal(_KEY, "a percent-encoding in the key is not valid UTF-8", field="key") from None
    if _UNSAFE.sub(_percent, value) != encoded:
        raise Refusal(_KEY, "a percent-encoding in the key is not canonical", field="key")
    return value


def build_key(domain: str, resource: str, identifiers: Iterable[tuple[str, str]], suffix: str | None = None) -> str:
    """Canonical text of a key; the inverse of `parse_key`. Knows no catalog.

    Raises:
        Refusal: a name is not lower snake case, an identifier is given twice, a value is refused, or the key is too
            long.
    """
    _check_name(domain, "domain")
    _check_name(resource, "resource")
    parts = [domain, resource]
    seen: set[str] = set()
    for name, value in identifiers:
        _check_name(name, "identifier")
        if name in seen:
            raise Refusal(_IDENTIFIER, f"identifier {name!r} is given twice", field=name)
        seen.add(name)
        parts += name, encode_value(value, name=name)
    if suffix is not None:
        parts.append(encode_value(string_text(suffix, "suffix"), name="suffix"))
    return check_length(":".join(parts))


def parse_key(text: str) -> KeyParts:
    """Take canonical key text apart; the inverse of `build_key`. Knows no catalog.

    Raises:
        Refusal: KEY_INVALID, if the text is not canonical; the error names the rule, not the key.
    """
    if not isinstance(text, str):
        raise Refusal(_KEY, f"a key is parsed from text, not from {type(text).__name__}", field="key")
    check_length(text)
    domain, *rest = text.split(":")
    if not rest:
        raise Refusal(_KEY, "a key has at least a domain and a resource: domain:resource", field="key")
    resource, *parts = rest
    for name in (domain, resource, *parts[0 : len(parts) - 1 : 2]):
        if _NAME.fullmatch(name) is None:
            raise Refusal(_KEY, "names in a key are lower snake case, 1..64 characters", field="key")
    suffix = decode_value(parts.pop()) if len(parts) % 2 else None
    names = parts[0::2]
    if len(set(names)) != len(names):
        raise Refusal(_KEY, "an identifier stands twice in the key", field="key")
    identifiers = tuple(zip(names, map(decode_value, parts[1::2]), strict=True))
    return KeyParts(domain, resource, identifiers, suffix)


def check_length(text: str) -> str:
    """The text itself.

    Raises:
        Refusal: KEY_INVALID, if it is empty, over `MAX_KEY_BYTES`, or not valid Unicode.
    """
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise Refusal(_KEY, "the key holds a lone surrogate: not valid Unicode", field="key") from None
    if not 0 < size <= MAX_KEY_BYTES:
        raise Refusal(_KEY, f"a key is 1..{MAX_KEY_BYTES} bytes of UTF-8, this one has {size}", field="key")
    return text


def _check_name(text: str, what: str) -> None:
    if not isinstance(text, str) or _NAME.fullmatch(text) is None:
        article = "an" if what[0] in "aeiou" else "a"
        raise Refusal(
            _KEY, f"the name of {article} {what} is lower snake case, 1..{MAX_NAME_CHARS} characters", field="key"
        )


# Typed values to text. Each raises Refusal(IDENTIFIER_INVALID) naming the identifier and what it must be.


def string_text(value: object, name: str) -> str:
    """Text of a string identifier, not yet encoded; of a subclass (an enum of strings, say) its plain text."""
    if not isinstance(value, str):
        raise _wrong(name, "a string", value)
    if not value:
        raise Refusal(_IDENTIFIER, f"identifier {name!r} is empty", field=name)
    return str.__str__(value)


def bool_text(value: object, name: str) -> str:
    """``true`` or ``false``; also takes that text."""
    if value is True or value == "true":
        return "true"
    if value is False or value == "false":
        return "false"
    raise _wrong(name, "a bool", value)


def int_text(value: object, name: str, low: int, high: int, unit: str = "") -> str:
    """Decimal text of an integer in ``low..high`` with its unit behind; also takes canonical text (``"30d"``)."""
    if isinstance(value, str):
        number = _parsed(value, name, unit)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = int(value)
    else:
        raise _wrong(name, "an integer", value)
    if not low <= number <= high:
        raise Refusal(_IDENTIFIER, f"identifier {name!r} must be in {low}..{high}", field=name)
    return f"{number}{unit}"


def _parsed(text: str, name: str, unit: str) -> int:
    """The number of canonical text, or a refusal that says which of its rules is broken."""
    digits = text.removesuffix(unit)
    is_integer = re.fullmatch(r"[+-]?[0-9]+", digits, re.ASCII) is not None
    if _INTEGER.fullmatch(digits) is not None and digits != "-0" and len(digits) <= 20 and (not unit or digits != text):
        return int(digits)
    if not is_integer:
        wrong = f"is text that holds no integer: give an int, or text like {'30' + unit!r}"
    elif len(digits) > 20:
        wrong = "is text with more than 20 digits"
    elif unit and digits == text:
        wrong = f"is text without its unit {unit!r}: give an int, or text like {'30' + unit!r}"
    else:
        wrong = f"is text with leading zeros or a sign that is not needed: give an int, or text like {'30' + unit!r}"
    raise Refusal(_IDENTIFIER, f"identifier {name!r} {wrong}", field=name)


def enum_text(value: object, name: str, texts: Iterable[str]) -> str:
    """One of the texts of an enum identifier."""
    allowed = tuple(texts)
    if not isinstance(value, str):
        raise _wrong(name, "one of the names " + ", ".join(allowed), value)
    if value not in allowed:
        raise Refusal(_IDENTIFIER, f"identifier {name!r} must be one of {', '.join(allowed)}", field=name)
    return str.__str__(value)


def tag_text(value: object, name: str) -> str:
    """Text of a tag's value, not yet encoded: of a `datetime.date` that of a date identifier.

    Raises:
        TypeError: it is neither text nor a date; of other identifiers the text in the key is needed.
        Refusal: IDENTIFIER_INVALID, if it holds a lone surrogate.
    """
    if isinstance(value, datetime.date):
        return date_text(value, name)
    if not isinstance(value, str):
        raise TypeError(
            f"the value of tag {name!r} is text, as it stands in the key, or a date, not of type {type(value).__name__}"
        )
    if _SURROGATE.search(value):
        raise Refusal(_IDENTIFIER, f"identifier {name!r} holds a lone surrogate: not valid Unicode", field=name)
    return str.__str__(value)


def date_text(value: object, name: str) -> str:
    """``YYYYMMDD`` of a `datetime.date`, or of such text naming a day that exists; for values that a program gives."""
    if type(value) is str and _is_day(value):  # the ordinary value first: generated keys call this for every key
        return value
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        hint = "give a datetime.date, or leave the hyphens out"
        raise Refusal(_IDENTIFIER, f"identifier {name!r} must be a day that exists, as YYYYMMDD: {hint}", field=name)
    return day_text(value, name)


def day_text(value: object, name: str) -> str:
    """The same as `date_text`; its errors suit those who write text: a shell, or a caller of the wire."""
    if isinstance(value, datetime.datetime):
        raise _wrong(name, "a date without a time, or text YYYYMMDD", value)
    if isinstance(value, datetime.date):
        return datetime.date.isoformat(value).replace("-", "")
    if not isinstance(value, str):
        raise _wrong(name, "a date, or text YYYYMMDD", value)
    if not _is_day(value):
        hyphens = ", without hyphens" if _ISO_DATE.fullmatch(value) else ""
        raise Refusal(_IDENTIFIER, f"identifier {name!r} must be a day that exists, as YYYYMMDD{hyphens}", field=name)
    return str.__str__(value)


@functools.lru_cache(4096)
def _is_day(text: str) -> bool:
    if _DATE.fullmatch(text) is None:
        return False
    try:
        datetime.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


# Typed values to encoded parts of a key: the functions above with a short way for ordinary values, because generated
# keys call them for every key that is made.


def string_part(value: object, name: str) -> str:
    """Encoded text of a string identifier."""
    if type(value) is str and value.isascii() and 0 < len(value) <= MAX_KEY_BYTES:
        return value if value.isalnum() else _UNSAFE.sub(_percent, value)
    return encode_value(string_text(value, name), name=name)


def int_part(value: object, name: str, low: int, high: int, unit: str = "") -> str:
    """Text of an integer identifier with its unit; its characters never need encoding."""
    if type(value) is int and low <= value <= high:
        return f"{value}{unit}"
    return int_text(value, name, low, high, unit)


def enum_part(value: object, name: str, texts: Mapping[int, str]) -> str:
    """Text of an enum identifier, given by number or text; its characters never need encoding."""
    if isinstance(value, int) and not isinstance(value, bool) and value in texts:
        return texts[value]
    return enum_text(value, name, texts.values())


def _wrong(name: str, wanted: str, value: object) -> Refusal:
    return Refusal(_IDENTIFIER, f"identifier {name!r} must be {wanted}, not {type(value).__name__}", field=name)
