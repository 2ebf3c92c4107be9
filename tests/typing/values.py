"""Types of values that are not plain JSON. Checked, not run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import assert_type

from pydantic import BaseModel, TypeAdapter

from coherd import CacheClient, CustomCodec, Entry, Key, PydanticCodec, Resource, with_values
from coherd.domains import psychology, session


class Profile(BaseModel):
    openness: float


@dataclass
class Cart:
    items: list[str]


PROFILES = with_values(psychology.Profile, PydanticCodec(Profile))
INSIGHTS = with_values(psychology.Insights, PydanticCodec(TypeAdapter(list[Profile])))
CARTS = with_values(session.Data, CustomCodec(asdict, lambda document: Cart(**document)))


async def values_have_the_type_of_their_codec(cache: CacheClient) -> None:
    key = PROFILES(user="u")
    assert_type(key, Key[Profile])
    assert_type(PROFILES.parse("psychology:profile:user:u"), Key[Profile])
    assert_type(await cache.get(key), Profile | None)
    assert_type(await cache.get_entry(key), Entry[Profile] | None)
    assert_type(await cache.get_many([key]), dict[Key[Profile], Profile | None])
    assert_type(await cache.get(INSIGHTS(user="u", type="t")), list[Profile] | None)
    assert_type(await cache.get(CARTS(id="s")), Cart | None)
    await cache.set(key, Profile(openness=1))
    await cache.set_many({key: Profile(openness=1)})
    await cache.invalidate(key, Resource.of(PROFILES))
    await cache.set(key, {"openness": 1})  # type: ignore[misc]
    PROFILES(usr="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def loaded_values_have_the_type_of_their_codec(cache: CacheClient) -> None:
    async def load(key: psychology.Profile) -> Profile:
        return Profile(openness=1)

    @cache.cached(PROFILES)
    async def profile(user: str) -> Profile:
        return Profile(openness=1)

    assert_type(await cache.get_or_load(PROFILES(user="u"), load), Profile)
    assert_type(await profile("u"), Profile)
