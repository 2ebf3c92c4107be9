"""Every change of a catalog that loses or misreads stored entries is told as breaking, the others as notices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coherd.catalog.catalog import Catalog
from coherd.catalog.change import Severity
from coherd.catalog.descriptor_sets import Source
from coherd.catalog.diff import compare
from coherd.catalog.load import builtin_catalog, load_catalog
from rig.protos import HEAD, compile_text

BASE = (
    'option (coherd.v1.invalidation) = { name: "user" summary: "s" tags: "shop/user" };\n'
    'service ShopCache { option (coherd.v1.domain) = { name: "shop" ttl: {seconds: 60} tags: "user" open: true };\n'
    "rpc Cart(CartKey) returns (coherd.v1.Json) {}\n"
    "rpc Page(PageKey) returns (Product) {} }\n"
    "message CartKey { string user = 1; Channel channel = 2; }\n"
    'message PageKey { uint32 days = 1 [(coherd.v1.identifier) = {unit: "d"}]; string date = 2; }\n'
    "message Product {} message Other {}\n"
    "enum Channel { CHANNEL_UNSPECIFIED = 0; CHANNEL_WEB = 1; CHANNEL_APP = 2; }\n"
)


def catalog(directory: Path, *changes: tuple[str, str]) -> Catalog:
    """The base catalog with texts replaced."""
    text = HEAD + BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load_catalog([Source("t", compile_text(directory, text))])


@pytest.mark.parametrize(
    ("change", "element", "text"),
    [
        ([('name: "shop"', 'name: "store"'), ("shop/", "store/")], "shop", "domain removed or renamed"),
        ([("rpc Cart(", "rpc Basket(")], "shop:cart", "resource removed or renamed"),
        (
            [("{ string user = 1; Channel channel = 2; }", "{ Channel channel = 1; string user = 2; }")],
            "shop:cart",
            "key text",
        ),
        (
            [("string user = 1; Channel channel", "string user = 1; Channel via")],
            "shop:cart",
            "channel} -> shop:cart:user:{user}:via",
        ),
        ([("string date = 2;", "string date = 2; bool sold_out = 3;")], "shop:page", "key text"),
        ([("uint32 days", "int32 days")], "shop:page", "identifier days: type uint32 -> int32"),
        ([("string date = 2;", "string date = 3;")], "shop:page", "key t.PageKey.date: number 2 -> 3"),
        ([('{unit: "d"}', '{unit: "w"}')], "shop:page", "identifier days: unit d -> w"),
        ([('[(coherd.v1.identifier) = {unit: "d"}]', "")], "shop:page", "identifier days: unit d -> none"),
        (
            [("string date = 2;", "string date = 2 [(coherd.v1.identifier) = {format: DATE}];")],
            "shop:page",
            "type string -> date",
        ),
        ([("CHANNEL_APP = 2", "CHANNEL_PHONE = 2")], "shop:cart", "value 2 app -> phone"),
        ([(" CHANNEL_APP = 2;", "")], "shop:cart", "value 2 app -> removed"),
        ([("returns (Product)", "returns (Other)")], "shop:page", "value type t.Product -> t.Other"),
        ([(" open: true", "")], "shop", "no longer open"),
    ],
)
def test_breaking_changes(tmp_path: Path, change: list[tuple[str, str]], element: str, text: str) -> None:
    changes = compare(catalog(tmp_path), catalog(tmp_path, *change))
    assert changes[0].severity is Severity.BREAKING
    assert any(c.severity is Severity.BREAKING and c.element == element and text in c.text for c in changes)


@pytest.mark.parametrize(
    ("change", "element", "text"),
    [
        (("ttl: {seconds: 60}", "ttl: {seconds: 90}"), "shop:cart", "ttl 1m -> 1m30s"),
        (("open: true", "open: true policy: {stale: {seconds: 1}}"), "shop", "stale 0s -> 1s"),
        (("open: true", "open: true policy: {jitter: 0.5}"), "shop", "jitter 0.0 -> 0.5"),
        (("open: true", 'open: true tags: "channel"'), "shop", "tags user -> channel, user"),
        (("open: true", "open: true near_cache: NEAR_CACHE_PUSH"), "shop", "near_cache off -> push"),
        (("open: true", "open: true sensitive: true"), "shop", "sensitive False -> True"),
        (("open: true", 'open: true readers: "web"'), "shop", "readers none -> web"),
        (('tags: "shop/user"', 'tags: "shop/user:*"'), "invalidation user", "tags shop/user -> shop/user:*"),
        (
            ('tags: "shop/user" }', 'tags: "shop/user:*" format: DATE }'),
            "invalidation user",
            "takes a day False -> True",
        ),
        (
            (
                "returns (coherd.v1.Json) {}",
                "returns (coherd.v1.Json) { option (coherd.v1.resource) = {json_object: true}; }",
            ),
            "shop:cart",
            "json_object",
        ),
        (("CHANNEL_APP = 2;", "CHANNEL_APP = 2; CHANNEL_FAX = 3;"), "shop:cart", "value 3 fax added"),
        (("uint32 days", "int64 days"), "shop:page", "type uint32 -> int64: the text of every key stays"),
        (("rpc Page(", "rpc Extra(PageKey) returns (Product) {} rpc Page("), "shop:extra", "resource added"),
        (
            ("string user = 1;", "string user = 1 [(coherd.v1.identifier) = {personal: true}];"),
            "shop",
            "personal none -> user",
        ),
    ],
)
def test_notices(tmp_path: Path, change: tuple[str, str], element: str, text: str) -> None:
    changes = compare(catalog(tmp_path), catalog(tmp_path, change))
    assert {c.severity for c in changes} == {Severity.NOTICE}
    assert any(c.element == element and text in c.text for c in changes)


def test_domains_and_invalidations_that_come_and_go() -> None:
    whole = builtin_catalog()
    less = replace(
        whole,
        domains={name: domain for name, domain in whole.domains.items() if name != "celery"},
        invalidations={name: spec for name, spec in whole.invalidations.items() if name != "date"},
    )
    assert [(c.severity, c.element) for c in compare(whole, less)] == [
        (Severity.BREAKING, "celery"),
        (Severity.NOTICE, "invalidation date"),
    ]
    assert [(c.severity, c.element) for c in compare(less, whole)] == [
        (Severity.NOTICE, "celery"),
        (Severity.NOTICE, "invalidation date"),
    ]


def test_the_same_catalog_has_no_changes(tmp_path: Path) -> None:
    assert compare(builtin_catalog(), builtin_catalog()) == []
    renamed = ("CartKey", "KeyOfCart")
    assert compare(catalog(tmp_path), catalog(tmp_path, renamed)) == []
