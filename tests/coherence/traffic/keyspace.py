"""The few keys every process of a run fights over, the tags each carries, and what can be invalidated.

Tags are spelled out here by the text of docs/use/catalog.md, not taken from the catalog's code: a checker that asked
the code under test which entries an invalidation reaches would agree with its mistakes.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Final, NamedTuple

from coherd.v1 import keys_pb2

USERS: Final = ("u1", "u2", "u3")
CONTENTS: Final = ("c1", "c2")
DATES: Final = ("20250101", "20250102")
_DECLARED: Final = {
    "analytics": ("user", "content", "date"),
    "psychology": ("user", "content"),
    "crisis": ("user",),
    "session": ("user",),
    "maintenance": ("date",),
    "content": ("user",),
}


class Item(NamedTuple):
    """One key."""

    index: int
    """Of its version in the source."""
    key: str
    tags: tuple[str, ...]
    """That follow from the key."""
    extra: tuple[tuple[str, str], ...] = ()
    """Extra tags every writer of it gives: identifier and value."""

    @property
    def extra_texts(self) -> tuple[str, ...]:
        """Canonical text of its extra tags."""
        return tuple(f"{self.key.split(':', 1)[0]}/{name}:{value}" for name, value in self.extra)

    @property
    def wire(self) -> keys_pb2.Key:
        """As it travels."""
        return keys_pb2.Key(text=self.key)


@lru_cache(1000)
def derived_tags(key: str) -> tuple[str, ...]:
    """The tags of a key without escapes: domain, resource, ``domain/identifier:value`` where the domain declares it."""
    domain, resource, *pairs = key.split(":")
    tags = [domain, f"{domain}:{resource}"]
    for name, value in zip(pairs[::2], pairs[1::2], strict=True):
        if name in _DECLARED[domain]:
            tags.append(f"{domain}/{name}:{value}")
        if (domain, name) == ("maintenance", "date"):
            tags.append("maintenance/date:*")
    return tuple(tags)


def _texts(users: tuple[str, ...], contents: tuple[str, ...], dates: tuple[str, ...]) -> list[str]:
    texts = [f"analytics:daily:user:{user}:date:{date}" for user in users for date in dates]
    texts += [f"analytics:writing_stats:user:{user}:days:30d" for user in users]
    texts += [f"psychology:profile:user:{user}" for user in users]
    texts += [f"crisis:user_risk:user:{user}" for user in users[:1]]
    texts += [f"analytics:content_engagement:content:{content}" for content in contents]
    texts += [f"psychology:content_analysis:content:{content}" for content in contents]
    texts += [f"maintenance:cleanup_report:date:{date}" for date in dates]
    return [*texts, "session:data:id:s1", "session:data:id:s2"]


def _item(index: int, key: str) -> Item:
    extra = (("user", USERS[index % len(USERS)]),) if key.startswith("session:data") else ()
    return Item(index, key, derived_tags(key), extra)


ITEMS: Final = tuple(_item(index, key) for index, key in enumerate(_texts(USERS, CONTENTS, DATES)))
PROBES: Final = 16
"""Keys behind the others, each used by one process only, to see that what was stored is there."""


DROPPED: Final = tuple(
    _item(len(ITEMS) + PROBES + number, key)
    for number, key in enumerate(
        (
            "analytics:writing_stats:user:u1:days:7d",
            "analytics:daily:user:u2:date:20250103",
            "session:data:id:g1",
            "session:data:id:g2",
        )
    )
)
"""Keys of sets whose callers give up, and of what undoes them; apart from the others, since what was sent of such a set
may take a lease away at any time (P5)."""
COUNTED: Final = len(ITEMS) + PROBES + len(DROPPED)
"""Keys that have a version in the source."""


def probe(number: int) -> Item:
    """The private key of a process."""
    key = f"content:topics:user:p{number % PROBES}"
    return Item(len(ITEMS) + number % PROBES, key, derived_tags(key))


class Target(NamedTuple):
    """What one Invalidate names."""

    selector: keys_pb2.Selector
    tags: tuple[str, ...] = ()
    key: str = ""


def _named(name: str, value: str, *tags: str) -> Target:
    return Target(keys_pb2.Selector(named=keys_pb2.NamedInvalidation(name=name, value=value)), tags)


def tag_target(text: str) -> Target:
    """The tag of a canonical text."""
    domain, _, pair = text.partition("/")
    name, _, value = pair.partition(":")
    selector = keys_pb2.Selector(tag=keys_pb2.Tag(domain=domain, identifier=name, value=value))
    return Target(selector, (text,))


def key_target(item: Item) -> Target:
    """One key."""
    return Target(keys_pb2.Selector(key=item.wire), (), item.key)


def choose_target(rng: random.Random) -> Target:
    """A user, a content item, a date, one tag, a resource, a domain or a single key; the wide ones seldom."""
    kind = rng.choices(("user", "content", "date", "tag", "key", "resource", "domain"), (30, 15, 15, 15, 20, 3, 2))[0]
    if kind == "user":
        user = rng.choice(USERS)
        domains = ("analytics", "psychology", "crisis", "session")
        return _named("user", user, *(f"{domain}/user:{user}" for domain in domains))
    if kind == "content":
        content = rng.choice(CONTENTS)
        return _named("content", content, f"psychology/content:{content}", f"analytics/content:{content}")
    if kind == "date":
        date = rng.choice(DATES)
        return _named("date", date, f"analytics/date:{date}", "maintenance/date:*")
    if kind == "tag":
        user = rng.choice(USERS)
        tag = keys_pb2.Tag(domain="analytics", identifier="user", value=user)
        return Target(keys_pb2.Selector(tag=tag), (f"analytics/user:{user}",))
    if kind == "key":
        return key_target(rng.choice(ITEMS))
    if kind == "resource":
        selector = keys_pb2.ResourceSelector(domain="analytics", resource="daily")
        return Target(keys_pb2.Selector(resource=selector), ("analytics:daily",))
    domain = rng.choice(("analytics", "psychology", "session", "maintenance"))
    return Target(keys_pb2.Selector(domain=keys_pb2.DomainSelector(domain=domain)), (domain,))
