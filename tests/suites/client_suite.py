"""What every client does before every server: a behaviour suite, independent of how they are connected.

Subclass it in a test module and give a fixture ``cache``, a `CacheClient` of a server with the built-in catalog.
The server may be shared: every test uses identifiers of its own, but domain-wide ones clear `crisis` and `celery`.
"""

from __future__ import annotations

import asyncio
import datetime
import decimal
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import pytest
from pydantic import BaseModel

from coherd import (
    NOTHING,
    BatchError,
    CacheClient,
    Domain,
    ErrorReason,
    InvalidRequest,
    Key,
    LoadTimeout,
    OpenKey,
    PydanticCodec,
    Resource,
    SetOutcome,
    Tag,
    UndecodableValue,
    ValueEncodeError,
    with_values,
)
from coherd.domains import analytics, celery, content, crisis, maintenance, psychology, session
from coherd.domains.celery.v1 import celery_pb2
from coherd.domains.tags import Content, Date, User

MISS: Final = object()
DAY: Final = "20250806"
HOSTILE: Final = (
    "a:b",
    "a:date:20250101",
    "*",
    "user[1]",
    "{tag}",
    "100%",
    "%3A",
    "a b",
    "line\nbreak\r\n$3\r\nSET\x00",
    "naïve-Łódź-東京-🦊",
    "\\",
    "..",
    "null",
    "0",
    "x" * 400,
)


class Mood(BaseModel):
    """What a day's analytics might be as."""

    score: decimal.Decimal
    at: datetime.datetime


MOODS: Final = with_values(analytics.Daily, PydanticCodec(Mood))


def own() -> str:
    """An identifier nobody else uses."""
    return uuid.uuid4().hex


async def values(cache: CacheClient, *keys: Key[Any]) -> list[Any]:
    """What is cached under each key, `MISS` where nothing is."""
    return [await cache.get(key, default=MISS) for key in keys]


class ReadingAndWriting:
    """One entry."""

    @pytest.mark.parametrize(
        "value", [0, 0.0, "", False, [], {}, None, 1, "text", [[], {"a": None}], 2**63 - 1, "\U0001f98a"]
    )
    async def test_every_json_document_is_a_value(self, cache: CacheClient, value: object) -> None:
        key = content.Topics(user=own())
        assert await cache.set(key, value)
        assert await cache.get(key, default=MISS) == value
        assert type(await cache.get(key, default=MISS)) is type(value)
        entry = await cache.get_entry(key)
        assert entry is not None
        assert (entry.value, entry.negative) == (value, False)
        assert await cache.get_many([key]) == {key: value}

    async def test_a_miss_is_none_or_the_default(self, cache: CacheClient) -> None:
        key = content.Topics(user=own())
        assert await cache.get(key) is None
        assert await cache.get(key, default=MISS) is MISS
        assert await cache.get_entry(key) is None
        assert await cache.get_many([key]) == {}

    async def test_a_remembered_nothing_is_not_a_miss(self, cache: CacheClient) -> None:
        key = psychology.Profile(user=own())
        assert await cache.set_nothing(key, ttl=timedelta(minutes=1))
        assert await cache.get(key, default=MISS) is None
        entry = await cache.get_entry(key)
        assert entry is not None
        assert (entry.value, entry.negative, entry.stale) == (None, True, False)
        assert await cache.get_many([key]) == {key: None}
        await cache.invalidate(User(key.user))
        assert await cache.get(key, default=MISS) is MISS

    async def test_nothing_needs_a_ttl_where_the_catalog_has_none_for_it(self, cache: CacheClient) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await cache.set_nothing(psychology.Profile(user=own()))
        assert caught.value.reason == ErrorReason.ERROR_REASON_TTL_INVALID

    async def test_messages_come_back_as_messages_and_empty_ones_are_values(self, cache: CacheClient) -> None:
        key = celery.TaskMetrics(id=own())
        for message in (celery_pb2.TaskMetrics(), celery_pb2.TaskMetrics(state="SUCCESS", retries=3)):
            await cache.set(key, message)
            assert await cache.get(key) == message
            assert await cache.get_many([key]) == {key: message}

    async def test_a_payload_of_another_type_is_an_error_not_a_miss(self, cache: CacheClient) -> None:
        key = celery.TaskMetrics(id=own())
        await cache.set(key, celery_pb2.TaskMetrics(retries=3))
        with pytest.raises(UndecodableValue):
            await cache.get(OpenKey.parse(str(key)))

    async def test_values_of_a_codec_are_values_of_their_type_in_every_verb(self, cache: CacheClient) -> None:
        mood, other = (MOODS(user=own(), date=DAY) for _ in range(2))
        value = Mood(score=decimal.Decimal("0.10"), at=datetime.datetime(2025, 8, 6, tzinfo=datetime.UTC))
        assert await cache.set(mood, value)
        assert [await cache.get(mood) for _ in range(3)] == [value] * 3  # from the near cache where there is one
        assert await cache.get(mood) is not await cache.get(mood)
        entry = await cache.get_entry(mood)
        assert entry is not None
        assert entry.value == value
        assert await cache.get_or_load(other, lambda _: value) == value
        assert await cache.get_many([mood, other]) == {mood: value, other: value}
        assert await cache.get_or_load_many([mood, other], lambda keys: {}) == {mood: value, other: value}
        plain = {"score": "0.10", "at": "2025-08-06T00:00:00Z"}
        assert await cache.get(analytics.Daily.parse(str(mood))) == plain
        with pytest.raises(ValueEncodeError, match="must be a Mood, not dict"):
            await cache.set(mood, plain)  # type: ignore[misc]
        await cache.invalidate(mood, other)
        assert await values(cache, mood, other) == [MISS, MISS]

    async def test_a_value_that_its_codec_does_not_read_is_loaded_anew(self, cache: CacheClient) -> None:
        mood = MOODS(user=own(), date=DAY)
        value = Mood(score=decimal.Decimal(1), at=datetime.datetime(2025, 8, 6, tzinfo=datetime.UTC))
        await cache.set(analytics.Daily.parse(str(mood)), {"score": "secret"})
        with pytest.raises(UndecodableValue, match="cannot be read by its PydanticCodec: ValidationError") as caught:
            await cache.get(mood)
        assert "secret" not in str(caught.value)
        assert await cache.get_or_load(mood, lambda _: value) == value
        assert await cache.get(mood) == value

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_no_identifier_reaches_another_key(self, cache: CacheClient, text: str) -> None:
        mine = own()
        hostile, plain = content.Topics(user=mine + text), content.Topics(user=mine)
        await cache.set(plain, "plain")
        await cache.set(hostile, "hostile")
        assert await values(cache, hostile, plain) == ["hostile", "plain"]
        assert hostile.user == mine + text
        daily = analytics.Daily(user=mine + text, date=DAY)
        other = analytics.Daily(user=mine, date=DAY)
        await cache.set_many({daily: 1, other: 2})
        await cache.invalidate(User(mine + text))
        assert await values(cache, daily, other, plain) == [MISS, 2, "plain"]

    async def test_delete(self, cache: CacheClient) -> None:
        key = content.Topics(user=own())
        await cache.set(key, 1)
        assert await cache.delete(key) is True
        assert await cache.get(key, default=MISS) is MISS
        assert await cache.delete(key) is False

    async def test_only_if_absent(self, cache: CacheClient) -> None:
        key = content.Topics(user=own())
        assert (await cache.set(key, 0, only_if_absent=True)).outcome is SetOutcome.STORED
        refused = await cache.set(key, 2, only_if_absent=True)
        assert (refused.outcome, refused.ttl_ms, bool(refused)) == (SetOutcome.PRESENT, 0, False)
        assert await cache.get(key) == 0
        await cache.delete(key)
        assert await cache.set(key, 3, only_if_absent=True)

    async def test_a_lower_version_never_overwrites(self, cache: CacheClient) -> None:
        key = content.Topics(user=own())
        assert await cache.set(key, "five", version=5)
        assert (await cache.set(key, "four", version=4)).outcome is SetOutcome.OLDER_VERSION
        assert await cache.set(key, "six", version=6)
        entry = await cache.get_entry(key)
        assert entry is not None
        assert (entry.value, entry.version) == ("six", 6)
        with pytest.raises(InvalidRequest):
            await cache.set(key, "none", version=0)


class Lifetimes:
    """TTLs, stale values, touches."""

    async def test_the_catalog_has_a_ttl_and_a_call_may_have_its_own(self, cache: CacheClient) -> None:
        key = maintenance.ComponentStatus(component=own())
        assert (await cache.set(key, 1)).ttl_ms == 300_000
        assert (await cache.set(key, 1, ttl=timedelta(seconds=90))).ttl_ms == 90_000
        entry = await cache.get_entry(key)
        assert entry is not None
        assert 80_000 < entry.remaining_ttl_ms <= 90_000
        assert 0 <= entry.age_ms < 10_000
        assert (entry.stale, entry.version, entry.extra_tags) == (False, None, {})

    @pytest.mark.parametrize(
        "ttl", [timedelta(0), timedelta(seconds=-1), timedelta(microseconds=1), timedelta(days=400)]
    )
    async def test_a_ttl_out_of_range_is_refused(self, cache: CacheClient, ttl: timedelta) -> None:
        key = content.Topics(user=own())
        with pytest.raises(InvalidRequest) as caught:
            await cache.set(key, 1, ttl=ttl)
        assert (caught.value.reason, caught.value.field) == (ErrorReason.ERROR_REASON_TTL_INVALID, "ttl_ms")
        assert await cache.get(key, default=MISS) is MISS

    async def test_a_value_ends_and_is_stale_where_the_catalog_says(self, cache: CacheClient) -> None:
        stale, ended = analytics.Daily(user=own(), date=DAY), crisis.UserRisk(user=own())
        await cache.set_many({stale: "old", ended: "old"}, ttl=timedelta(milliseconds=150))
        await asyncio.sleep(0.4)
        assert await values(cache, stale, ended) == [MISS, MISS]
        assert await cache.get_many([stale, ended]) == {}
        assert await cache.touch(stale) is False
        assert await cache.get(ended, default=MISS, accept_stale=True) is MISS
        assert await cache.get_many([stale, ended], accept_stale=True) == {stale: "old"}
        entry = await cache.get_entry(stale, accept_stale=True)
        assert entry is not None
        assert (entry.value, entry.stale) == ("old", True)
        assert entry.remaining_ttl_ms <= 0
        assert await cache.set(stale, "new", only_if_absent=True)

    async def test_touch(self, cache: CacheClient) -> None:
        key = content.Topics(user=own())
        assert await cache.touch(key, timedelta(minutes=5)) is False
        await cache.set(key, 1, ttl=timedelta(seconds=10))
        assert await cache.touch(key, timedelta(minutes=5)) is True
        entry = await cache.get_entry(key)
        assert entry is not None
        assert (entry.value, entry.remaining_ttl_ms > 200_000) == (1, True)
        assert await cache.touch(key) is True


class Invalidation:
    """Tags, named invalidations, resources, domains."""

    async def test_a_user_goes_from_four_domains_and_no_other(self, cache: CacheClient) -> None:
        user = own()
        gone: tuple[Key[Any], ...] = (
            analytics.Daily(user=user, date=DAY),
            analytics.WritingStats(user=user, days=30),
            psychology.Profile(user=user),
            psychology.Insights(user=user, type="emotional"),
            crisis.UserRisk(user=user),
            session.Activity(user=user),
        )
        kept: tuple[Key[Any], ...] = (content.Topics(user=user), psychology.Profile(user=user + "x"))
        await cache.set_many({key: {"n": 1} for key in gone + kept})
        result = await cache.invalidate(User(user))
        assert set(result.tags) == {
            f"{domain}/user:{user}" for domain in ("analytics", "psychology", "crisis", "session")
        }
        assert await values(cache, *gone) == [MISS] * len(gone)
        assert await values(cache, *kept) == [{"n": 1}] * len(kept)

    async def test_extra_tags_tie_a_session_to_its_user(self, cache: CacheClient) -> None:
        user, mine, other = own(), session.Data(id=own()), session.Data(id=own())
        await cache.set(mine, {"cart": []}, tags={"user": user})
        await cache.set(other, {"cart": []})
        entry = await cache.get_entry(mine)
        assert entry is not None
        assert entry.extra_tags == {"user": user}
        await cache.invalidate(User(user))
        assert await values(cache, mine, other) == [MISS, {"cart": []}]

    @pytest.mark.parametrize("tags", [{"nothing": "x"}, {"user": ""}])
    async def test_wrong_extra_tags_are_refused(self, cache: CacheClient, tags: Mapping[str, str]) -> None:
        with pytest.raises(InvalidRequest):
            await cache.set(session.Data(id=own()), {}, tags=tags)

    async def test_content_and_date(self, cache: CacheClient) -> None:
        item, user = own(), own()
        analysis, engagement = psychology.ContentAnalysis(content=item), analytics.ContentEngagement(content=item)
        today, yesterday = analytics.Daily(user=user, date="19990102"), analytics.Daily(user=user, date="19990101")
        report = maintenance.CleanupReport(date="19980101")
        await cache.set_many({analysis: {}, engagement: {}, today: {}, yesterday: {}, report: {}})
        await cache.invalidate(Content(item))
        assert await values(cache, analysis, engagement, today) == [MISS, MISS, {}]
        await cache.invalidate(Date("19990101"))
        assert await values(cache, today, yesterday, report) == [{}, MISS, MISS]

    async def test_tags_of_one_domain_or_of_all(self, cache: CacheClient) -> None:
        user = own()
        daily, profile = analytics.Daily(user=user, date=DAY), psychology.Profile(user=user)
        await cache.set_many({daily: {}, profile: {}})
        assert (await cache.invalidate(Tag("user", user, "analytics"))).tags == (f"analytics/user:{user}",)
        assert await values(cache, daily, profile) == [MISS, {}]
        await cache.invalidate(Tag("user", user))
        assert await values(cache, profile) == [MISS]

    async def test_resources_domains_and_keys(self, cache: CacheClient) -> None:
        risk, trends, task = crisis.UserRisk(user=own()), crisis.Trends(timeframe=own()), celery.TaskMetrics(id=own())
        topics = content.Topics(user=own())
        for key in (risk, trends, topics):
            await cache.set(key, {})
        await cache.set(task, celery_pb2.TaskMetrics())
        assert (await cache.invalidate(Resource.of(crisis.UserRisk))).tags == ("crisis:user_risk",)
        assert await values(cache, risk, trends) == [MISS, {}]
        both = await cache.invalidate(Domain("crisis"), Domain("celery"), topics)
        assert (set(both.tags), both.deleted_keys) == ({"crisis", "celery"}, 1)
        assert await values(cache, trends, task, topics) == [MISS, MISS, MISS]

    async def test_what_is_invalidated_can_be_set_again(self, cache: CacheClient) -> None:
        key = psychology.Profile(user=own())
        for n in range(3):
            await cache.set(key, {"n": n})
            assert await cache.get(key) == {"n": n}
            await cache.invalidate(User(key.user))
            assert await cache.get(key) is None

    @pytest.mark.parametrize("selector", [Domain("nowhere"), Tag("nothing", "x"), Tag("user", "x", "celery")])
    async def test_selectors_that_select_nothing_known_are_refused(
        self, cache: CacheClient, selector: Domain | Tag
    ) -> None:
        with pytest.raises(InvalidRequest):
            await cache.invalidate(selector)


class Batches:
    """Many entries."""

    async def test_answers_come_by_key_and_in_order(self, cache: CacheClient) -> None:
        user = own()
        keys: list[Key[Any]] = [analytics.Daily(user=user, date=DAY), OpenKey("content", "drafts", {"user": user})]
        missing = psychology.Profile(user=user)
        assert all((await cache.set_many(dict(zip(keys, ({"a": 1}, 0), strict=True)))).values())
        many = await cache.get_many([keys[1], missing, keys[0], keys[1]])
        assert list(many.items()) == [(keys[1], 0), (keys[0], {"a": 1})]
        assert all(any(given is key for given in keys) for key in many)

    async def test_more_keys_than_one_call_takes(self, cache: CacheClient) -> None:
        user = own()
        expected = {OpenKey("content", "drafts", {"user": user, "n": str(n)}): n for n in range(2_500)}
        results = await cache.set_many(expected, timeout_ms=120_000)
        assert len(results) == len(expected)
        assert await cache.get_many(expected, timeout_ms=120_000) == expected

    async def test_values_too_large_for_one_answer(self, cache: CacheClient) -> None:
        user = own()
        large = {OpenKey("content", "drafts", {"user": user, "n": str(n)}): str(n) * 300_000 for n in range(10, 40)}
        await cache.set_many(large, timeout_ms=120_000)
        assert await cache.get_many(large, timeout_ms=120_000) == large

    async def test_one_bad_item_fails_no_other(self, cache: CacheClient) -> None:
        good, bad = content.Topics(user=own()), OpenKey("nowhere", "x", {"user": "u"})
        await cache.set(good, ["a"])
        with pytest.raises(BatchError) as caught:
            await cache.get_many([bad, good])
        assert caught.value.results == {good: ["a"]}
        assert caught.value.errors[bad].reason == ErrorReason.ERROR_REASON_DOMAIN_UNKNOWN
        with pytest.raises(BatchError) as caught:
            await cache.set_many({good: ["b"], bad: 1})
        assert bool(caught.value.results[good])
        assert await cache.get(good) == ["b"]

    async def test_concurrent_callers_get_their_own_answers(self, cache: CacheClient) -> None:
        keys = [content.Topics(user=own()) for _ in range(200)]
        await cache.set_many({key: str(key) for key in keys})
        answers = await asyncio.gather(*(cache.get(key, timeout_ms=20_000) for key in keys))
        assert answers == [str(key) for key in keys]


class Loading:
    """get_or_load and its kin; nothing here depends on more than a few tenths of a second."""

    async def test_what_is_missing_is_loaded_once(self, cache: CacheClient) -> None:
        key = content.Topics(user=own())
        calls = 0

        async def load(wanted: content.Topics) -> list[str]:
            nonlocal calls
            calls += 1
            await asyncio.sleep(0.05)
            return [wanted.user]

        assert await asyncio.gather(*(cache.get_or_load(key, load) for _ in range(200))) == [[key.user]] * 200
        assert [await cache.get_or_load(key, load), await cache.get(key)] == [[key.user]] * 2
        assert calls == 1

    @pytest.mark.parametrize("value", [0, 0.0, "", False, [], {}, None])
    async def test_falsy_values_are_loaded_once(self, cache: CacheClient, value: object) -> None:
        key = content.Topics(user=own())
        assert await cache.get_or_load(key, lambda _: value) == value
        assert await cache.get_or_load(key, lambda _: "loaded again") == value

    async def test_nothing_is_remembered_for_its_own_time(self, cache: CacheClient) -> None:
        key = psychology.Profile(user=own())
        assert await cache.get_or_load(key, lambda _: NOTHING) is None
        assert await cache.get(key, default=MISS) is MISS
        assert await cache.get_or_load(key, lambda _: NOTHING, nothing_ttl=timedelta(minutes=1)) is None
        assert await cache.get_or_load(key, lambda _: "loaded again") is None
        await cache.invalidate(User(key.user))
        assert await cache.get_or_load(key, lambda _: "there") == "there"

    async def test_a_load_has_the_ttl_and_tags_of_its_call(self, cache: CacheClient) -> None:
        user, key = own(), session.Data(id=own())
        await cache.get_or_load(key, lambda _: {"cart": []}, ttl=timedelta(seconds=90), tags={"user": user})
        entry = await cache.get_entry(key)
        assert entry is not None
        assert entry.extra_tags == {"user": user}
        assert 80_000 < entry.remaining_ttl_ms < 91_000
        await cache.invalidate(User(user))
        assert await cache.get(key, default=MISS) is MISS

    @pytest.mark.parametrize("change", ["invalidate", "delete", "set"])
    async def test_what_was_loaded_before_a_change_is_not_read_after_it(self, cache: CacheClient, change: str) -> None:
        key = psychology.Profile(user=own())
        gate, started = asyncio.Event(), asyncio.Event()

        async def old(_: object) -> str:
            started.set()
            await gate.wait()
            return "old"

        before = asyncio.create_task(cache.get_or_load(key, old))
        await started.wait()
        if change == "invalidate":
            await cache.invalidate(User(key.user))
        elif change == "delete":
            await cache.delete(key)
        else:
            await cache.set(key, "new")
        after = await asyncio.wait_for(cache.get_or_load(key, lambda _: "new"), 60)  # while the old load runs
        gate.set()
        assert (await before, after) == ("old", "new")
        assert await cache.get(key) == "new"

    async def test_a_late_fill_is_dead_on_arrival(self, cache: CacheClient) -> None:
        key = psychology.Profile(user=own())

        async def load(_: object) -> str:
            await cache.invalidate(User(key.user))
            return "old"

        assert await cache.get_or_load(key, load) == "old"
        assert await cache.get(key, default=MISS) is MISS
        assert await cache.get_or_load(key, lambda _: "new") == "new"

    async def test_errors_reach_the_callers_and_poison_nothing(self, cache: CacheClient) -> None:
        key = content.Topics(user=own())

        async def fail(_: object) -> None:
            raise KeyError("no row")

        answers = await asyncio.gather(*(cache.get_or_load(key, fail) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [KeyError] * 3
        assert await cache.get_or_load(key, lambda _: "there") == "there"
        with pytest.raises(InvalidRequest):
            await cache.get_or_load(OpenKey("nowhere", "x"), lambda _: 1)

    async def test_loads_past_their_time_are_given_up(self, cache: CacheClient) -> None:
        key = content.Topics(user=own())

        async def hang(_: object) -> None:
            await asyncio.sleep(60)

        with pytest.raises(LoadTimeout):
            await cache.get_or_load(key, hang, load_timeout_ms=50)
        assert await cache.get_or_load(key, lambda _: "there") == "there"

    async def test_cancelling_a_caller_cancels_no_load(self, cache: CacheClient) -> None:
        key = content.Topics(user=own())
        gate, started = asyncio.Event(), asyncio.Event()

        async def load(_: object) -> str:
            started.set()
            await gate.wait()
            return "loaded"

        first = asyncio.create_task(cache.get_or_load(key, load))
        await started.wait()
        second = asyncio.create_task(cache.get_or_load(key, lambda _: "loaded twice"))
        await asyncio.sleep(0.1)
        first.cancel()
        gate.set()
        assert await second == "loaded"

    async def test_many_are_loaded_with_one_call(self, cache: CacheClient) -> None:
        user = own()
        keys = [OpenKey("content", "drafts", {"user": user, "n": str(n)}) for n in range(5)]
        await cache.set(keys[2], 0)
        calls: list[list[OpenKey]] = []

        async def load(missing: list[OpenKey]) -> dict[OpenKey, str]:
            calls.append(missing)
            return {key: "loaded" for key in missing if key is not keys[4]}

        answer = await cache.get_or_load_many(keys, load, nothing_ttl=timedelta(minutes=1))
        assert list(answer.items()) == list(zip(keys, ["loaded", "loaded", 0, "loaded", None], strict=True))
        assert calls == [[keys[0], keys[1], keys[3], keys[4]]]
        assert await cache.get_or_load_many(keys, load) == answer
        assert len(calls) == 1

    async def test_decorated_functions(self, cache: CacheClient) -> None:
        calls = 0

        @cache.cached(lambda user: content.Topics(user=user))
        async def topics(user: str) -> list[Any]:
            nonlocal calls
            calls += 1
            return [user, calls]

        user = own()
        assert [await topics(user), await topics(user)] == [[user, 1]] * 2
        assert await topics.refresh(user) == [user, 2]
        assert await topics.invalidate(user) is True
        assert await topics(user) == [user, 3]


class Refusals:
    """What the server does not take."""

    async def test_unknown_domains(self, cache: CacheClient) -> None:
        key = OpenKey("nowhere", "x", {"user": "u"})
        for call in (cache.get(key), cache.set(key, 1), cache.delete(key), cache.touch(key), cache.metrics("nowhere")):
            with pytest.raises(InvalidRequest) as caught:
                await call
            assert caught.value.reason == ErrorReason.ERROR_REASON_DOMAIN_UNKNOWN

    @pytest.mark.parametrize(
        "text",
        ["analytics:writing_stats:user:u:days:030d", "analytics:daily:user:u", "analytics:daily:user:u:date:19990230"],
    )
    async def test_keys_that_are_not_canonical(self, cache: CacheClient, text: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await cache.set(OpenKey.parse(text), 1)
        reasons = (ErrorReason.ERROR_REASON_KEY_INVALID, ErrorReason.ERROR_REASON_IDENTIFIER_INVALID)
        assert caught.value.reason in reasons

    async def test_values_over_the_limit(self, cache: CacheClient) -> None:
        key = content.Topics(user=own())
        with pytest.raises(InvalidRequest) as caught:
            await cache.set(key, "secret" * 200_000)
        assert caught.value.reason == ErrorReason.ERROR_REASON_VALUE_TOO_LARGE
        assert "secret" not in str(caught.value)
        assert await cache.get(key, default=MISS) is MISS


class Looking:
    """Metrics and catalog."""

    async def test_metrics_count(self, cache: CacheClient) -> None:
        before = (await cache.metrics("content"))["content"]
        key = content.Topics(user=own())
        await cache.get(key)
        await cache.set(key, ["a"])
        await cache.get(key)
        await cache.get_many([key])
        hits = before.hits + before.near_cache_hits
        async with asyncio.timeout(60):  # near-cache hits are reported from time to time
            while True:
                after = (await cache.metrics("content"))["content"]
                if after.hits + after.near_cache_hits - hits == 2:
                    break
                await asyncio.sleep(0.05)
        assert (after.misses - before.misses, after.sets - before.sets) == (1, 1)
        assert 0 < after.hit_ratio < 1
        assert [r.key_pattern for r in after.resources] == ["content:topics:user:{user}"]
        assert after.recommended_ttl_ms == 3_600_000
        assert len(await cache.metrics()) >= 8

    async def test_the_catalog(self, cache: CacheClient) -> None:
        described = await cache.describe_catalog()
        assert {"analytics", "psychology", "crisis", "maintenance", "session", "ai_model", "content", "celery"} <= {
            domain.name for domain in described.domains
        }
        assert {"user", "content", "date"} <= {each.name for each in described.invalidations}
        assert [domain.name for domain in (await cache.describe_catalog("content")).domains] == ["content"]


class ClientSuite(ReadingAndWriting, Lifetimes, Invalidation, Batches, Loading, Refusals, Looking):
    """All of it."""
