"""Values by codecs: models, other types through adapters and functions, and what is refused."""

from __future__ import annotations

import base64
import copy
import dataclasses
import datetime
import decimal
import enum
import math
import pickle
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from coherd import CustomCodec, PydanticCodec, Resource, ValueDecodeError, ValueEncodeError, with_values
from coherd.codec import JSON, JSON_OBJECT
from coherd.contract.reasons import Refusal
from coherd.domains import analytics, celery, content, psychology
from coherd.key import Key, OpenKey


class Channel(enum.StrEnum):
    WEB = "web"


class Profile(BaseModel):
    name: str
    score: float | None = None


class Admin(Profile):
    rights: list[str] = []


@dataclasses.dataclass
class Cart:
    items: list[str]
    channel: Channel = Channel.WEB


class JsonObjects(content.Topics):
    """As a resource with ``json_object: true`` has it."""

    __slots__ = ()
    codec = JSON_OBJECT


PROFILES: Any = with_values(psychology.Profile, PydanticCodec(Profile))


def codec_of(codec: Any, base: type[Key[Any]] = content.Topics) -> Any:
    """The payload codec of such keys."""
    return with_values(base, codec)(user="u").codec


UTC = datetime.datetime(2025, 8, 6, 12, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (datetime.datetime, UTC),
        (datetime.date, UTC.date()),
        (datetime.timedelta, datetime.timedelta(milliseconds=1)),
        (decimal.Decimal, decimal.Decimal("0.10")),
        (uuid.UUID, uuid.UUID(int=1)),
        (Channel, Channel.WEB),
        (Cart, Cart(["a"])),
        (bytes, b"text"),
        (int, 2**70),
        (set[int], {1, 2}),
        (tuple[int, ...], (1, 2)),
        (dict[int, Profile], {1: Profile(name="n")}),
        (Profile | Admin, Admin(name="n", rights=["r"])),
        (list[Profile] | None, None),
    ],
    ids=lambda given: str(given)[:20],
)
def test_values_of_an_adapter_come_back_with_their_type(kind: Any, value: Any) -> None:
    codec = codec_of(PydanticCodec(TypeAdapter(kind)))
    again = codec.decode(codec.encode(value))
    assert again == value
    assert type(again) is type(value)


def test_models_come_back_as_models_also_by_other_names() -> None:
    class Renamed(BaseModel):
        name: str = Field(alias="Name")

    for value in (Profile(name="n", score=0.5), Renamed(Name="n")):
        codec = codec_of(PydanticCodec(type(value)))
        again = codec.decode(codec.encode(value))
        assert again == value
        assert again is not codec.decode(codec.encode(value))


class LeavesOut(BaseModel):
    name: str = "secret"
    kept: str = Field(default="", exclude=True)


class HasSecret(BaseModel):
    password: SecretStr


class ReadsOtherwise(BaseModel):
    name: str = Field(serialization_alias="other")


@pytest.mark.parametrize(
    ("codec", "value", "words"),
    [
        (PydanticCodec(Profile), {"name": "secret"}, "must be a Profile, not dict"),
        (PydanticCodec(Profile), Admin(name="secret"), "must be a Profile, not Admin"),
        (PydanticCodec(Profile), None, "must be a Profile, not NoneType"),
        (PydanticCodec(Profile), Profile(name="secret", score=math.nan), "does not come back equal"),
        (PydanticCodec(LeavesOut), LeavesOut(kept="secret"), "does not come back equal"),
        (PydanticCodec(HasSecret), HasSecret(password=SecretStr("secret")), "does not come back equal"),
        (PydanticCodec(ReadsOtherwise), ReadsOtherwise(name="secret"), "cannot be written by its PydanticCodec"),
        (PydanticCodec(TypeAdapter(Profile)), Admin(name="secret", rights=["secret"]), "does not come back equal"),
        (PydanticCodec(TypeAdapter(str)), Channel.WEB, "does not come back equal"),
        (PydanticCodec(TypeAdapter(float)), math.inf, "cannot be written|does not come back equal"),
        (CustomCodec(lambda value: value, lambda document: document), UTC, "JSON has no datetime"),
        (CustomCodec(dataclasses.asdict, lambda document: Cart(**document)), "secret", "by its CustomCodec: TypeError"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_would_come_back_as_something_else_is_refused(codec: Any, value: Any, words: str) -> None:
    with pytest.raises(ValueEncodeError, match=words) as refused:
        codec_of(codec).encode(value)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


class Text:
    """A codec of a user's own."""

    def __init__(self, text: bytes) -> None:
        self.text = text

    def to_json(self, value: str, /) -> bytes:
        return self.text

    def from_json(self, text: bytes, /) -> str:
        return text.decode()


def test_own_codecs_write_json_and_nothing_else() -> None:
    assert codec_of(Text(b' {"a": 1}')).decode(codec_of(Text(b' {"a": 1}')).encode("x")) == ' {"a": 1}'
    assert JSON.decode(codec_of(Text(b"[1]")).encode("x")) == [1]
    for wrong in (b"", b"NaN", b"{", b"\xff", None):
        with pytest.raises(ValueEncodeError, match="cannot be written by its Text"):
            codec_of(Text(wrong)).encode("x")  # type: ignore[arg-type]
    with pytest.raises(ValueEncodeError, match="holds JSON objects"):
        codec_of(Text(b"[]"), JsonObjects).encode("x")
    assert codec_of(Text(b"{}"), JsonObjects).encode("x")


@pytest.mark.parametrize("payload", [b"", b"\x0a", b"\x0a\x05{}", b"\x12\x02{}", JSON.encode({"name": ["secret"]})])
def test_what_a_codec_cannot_read_does_not_decode(payload: bytes) -> None:
    with pytest.raises(ValueDecodeError) as refused:
        codec_of(PydanticCodec(Profile)).decode(payload)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_functions_of_the_users_own_for_bytes_and_dataclasses() -> None:
    blob = codec_of(CustomCodec(lambda raw: base64.b64encode(raw).decode(), base64.b64decode))
    assert blob.decode(blob.encode(b"\x00\xff")) == b"\x00\xff"
    carts: CustomCodec[Cart] = CustomCodec(
        lambda cart: {"items": cart.items, "channel": cart.channel.value},
        lambda document: Cart(document["items"], Channel(document["channel"])),
    )
    assert codec_of(carts).decode(codec_of(carts).encode(Cart(["a"]))) == Cart(["a"])


def test_keys_are_those_of_their_class() -> None:
    profiles = with_values(psychology.Profile, PydanticCodec(Profile))
    key, plain = profiles(user="u:1"), psychology.Profile(user="u:1")
    assert key == plain
    assert hash(key) == hash(plain)
    assert isinstance(key, psychology.Profile)
    assert (key.user, repr(key)) == ("u:1", repr(plain))
    assert type(profiles.parse(str(plain))) is type(key)
    assert Resource.of(profiles) == Resource("psychology", "profile")
    assert not hasattr(key, "__dict__")
    assert copy.copy(key) is copy.deepcopy({"a": key})["a"] is key
    with pytest.raises(Refusal):
        profiles(user="")
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(key)
    drafts = with_values(OpenKey, PydanticCodec(Profile))("content", "drafts", {"user": "u"})
    assert drafts == "content:drafts:user:u"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: with_values(analytics.Daily, Profile), "a codec, such as PydanticCodec.*not Profile"),
        (lambda: with_values(analytics.Daily, PydanticCodec), "a codec, such as .*not PydanticCodec"),
        (lambda: with_values(analytics.Daily, None), "a codec, such as .*not an object of NoneType"),
        (lambda: with_values(content.Topics(user="u"), PydanticCodec(Profile)), "a key class, such as .*of Topics"),
        (lambda: with_values("content:topics", PydanticCodec(Profile)), "a key class, such as .*of str"),
        (lambda: with_values(dict, PydanticCodec(Profile)), "a key class, such as .*not dict"),
        (
            lambda: with_values(celery.TaskMetrics, PydanticCodec(Profile)),
            "TaskMetrics holds coherd.domains.celery.v1.TaskMetrics messages",
        ),
        (lambda: with_values(PROFILES, PydanticCodec(Profile)), "Profile holds values of another codec"),
        (lambda: PydanticCodec(dict), "takes a model class .*not dict"),
        (lambda: PydanticCodec(Cart), "takes a model class .*not Cart"),
        (lambda: PydanticCodec(Profile(name="secret")), "takes a model class .*not an object of Profile"),
        (lambda: PydanticCodec(5), "takes a model class .*not an object of int"),
        (lambda: CustomCodec(None, dict), "CustomCodec takes two functions.*dump is an object of NoneType"),
        (lambda: CustomCodec(dict, 5), "CustomCodec takes two functions.*load is an object of int"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        make()


def test_bytes_that_are_no_text_need_the_adapters_setting() -> None:
    class Blob(BaseModel):
        model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
        raw: bytes

    codec = codec_of(PydanticCodec(Blob))
    assert codec.decode(codec.encode(Blob(raw=b"\xff"))) == Blob(raw=b"\xff")
    with pytest.raises(ValueEncodeError):
        codec_of(PydanticCodec(TypeAdapter(bytes))).encode(b"\xff")


def test_pydantic_is_not_needed() -> None:
    assert "pydantic" not in vars(sys.modules["coherd.values"])
