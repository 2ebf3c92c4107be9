"""Declarations that are no usable catalog are refused at load, each problem naming file and element."""

from __future__ import annotations

from pathlib import Path

import pytest
from declarations import RESOURCE, TTL, USER, domain, invalidation, key_field
from google.protobuf.descriptor_pb2 import (
    FileDescriptorSet,
)

from coherd.catalog.declared import CatalogError
from coherd.catalog.descriptor_sets import Source
from coherd.catalog.load import builtin_source, load_catalog
from rig.protos import HEAD, compile_text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            USER + domain(rpcs="rpc A(K) returns (coherd.v1.Json) {} rpc a(K) returns (coherd.v1.Json) {}"),
            "resource 'a' is declared twice",
        ),
        (
            USER
            + domain(
                rpcs="rpc A(K) returns (coherd.v1.Json) {} rpc B(K) returns (coherd.v1.Json) {"
                ' option (coherd.v1.resource) = { name: "a" }; }'
            ),
            "resource 'a' is declared twice",
        ),
        (
            USER + domain() + domain().replace("ShopCache", "Other"),
            "domain 'shop' is declared twice, also by t.ShopCache",
        ),
        (USER + domain(TTL + ' tags: "nobody"'), "tag 'nobody' is not an identifier"),
        (USER + domain(TTL + ' tags: "user" tags: "user"'), "a tag is listed twice"),
        (USER + domain(""), "needs a ttl"),
        (USER + domain("ttl: {seconds: 0}"), "ttl must be in 1"),
        (USER + domain("ttl: {seconds: -5}"), "ttl must be in 1"),
        (USER + domain("ttl: {seconds: 31622401}"), "ttl must be in 1"),
        (USER + domain("ttl: {nanos: 1500}"), "whole milliseconds"),
        (USER + domain("ttl: {seconds: 1 nanos: -1000000}"), "ttl: nanos must be below a second, with the sign"),
        (USER + domain("ttl: {seconds: -1 nanos: 1000000}"), "ttl: nanos must be below a second, with the sign"),
        (USER + domain("ttl: {nanos: 1000000000}"), "ttl: nanos must be below a second, with the sign"),
        (USER + domain(TTL + " policy: {max: {seconds: 59}}"), "max must be in 1m"),
        (USER + domain(TTL + " policy: {stale: {nanos: 1000000000}}"), "policy.stale: nanos must be below a second"),
        (USER + domain(TTL + " policy: {stale: {seconds: 2592001}}"), "stale must be in"),
        (USER + domain(TTL + " policy: {jitter: 0.6}"), "jitter must be in 0..0.5"),
        (USER + domain(TTL + " policy: {early_refresh: 11}"), "early_refresh must be in 0..10"),
        (USER + domain(TTL + " wait_replicas: 9"), "wait_replicas must be in 0..8"),
        (USER + domain(name="coherd"), "reserved"),
        (USER + domain(name="Shop"), "must be lower snake case"),
        (USER + domain(name="s" * 65), "must be lower snake case"),
        (USER + domain(rpcs=""), "declares no resource and is not open"),
        (USER + domain(rpcs="rpc A(stream K) returns (coherd.v1.Json) {}"), "a resource is a unary rpc"),
        (USER + domain(rpcs="rpc A(K) returns (stream coherd.v1.Json) {}"), "a resource is a unary rpc"),
        (
            USER + domain(rpcs="rpc A(K) returns (K) { option (coherd.v1.resource) = { json_object: true }; }"),
            "json_object needs coherd.v1.Json",
        ),
        (key_field("repeated string user = 1;"), "not repeated, optional or in a oneof"),
        (key_field("optional string user = 1;"), "not repeated, optional or in a oneof"),
        (key_field("oneof one { string user = 1; }"), "not repeated, optional or in a oneof"),
        (key_field("map<string, string> user = 1;"), "not repeated, optional or in a oneof"),
        (key_field("M user = 1;", "message M {}"), "is a string, bool, integer, enum or date"),
        (key_field("double user = 1;"), "is a string, bool, integer, enum or date"),
        (key_field("bytes user = 1;"), "is a string, bool, integer, enum or date"),
        (key_field("string userName = 1;"), "named in lower snake case"),
        (
            key_field('string user = 1 [(coherd.v1.identifier) = {unit: "d"}];'),
            "a unit is 1..8 lower-case letters behind an integer",
        ),
        (key_field('int32 user = 1 [(coherd.v1.identifier) = {unit: "D"}];'), "a unit is 1..8 lower-case letters"),
        (key_field("int32 user = 1 [(coherd.v1.identifier) = {format: DATE}];"), "format DATE needs a string field"),
        (
            key_field("E user = 1;", "enum E { option allow_alias = true; E_UNKNOWN = 0; E_A = 1; E_B = 1; }"),
            "two values for one key text or number",
        ),
        (key_field("E user = 1;", "enum E { E_UNKNOWN = 0; E_ = 1; }"), "key text would be empty"),
        (
            key_field("E user = 1;", "enum E { E_UNSPECIFIED = 0; }"),
            "K.user: enum E has no value that can stand in a key",
        ),
        (invalidation('tags: "shop/nobody"'), "does not declare 'nobody' as a tag"),
        (invalidation('tags: "nowhere/user"'), "no such domain"),
        (invalidation('tags: "shop:user"'), 'must be written "domain/identifier"'),
        (invalidation('tags: "shop/user:5"'), 'must be written "domain/identifier"'),
        (invalidation(""), "lists no tags"),
        (invalidation('tags: "shop/user"', name="User"), "must be lower snake case"),
        (
            'option (coherd.v1.invalidation) = { name: "user" summary: "s" tags: "shop/user" };'
            + invalidation('tags: "shop/user"'),
            "invalidation 'user': declared twice, also by t.proto",
        ),
        (invalidation('tags: "shop/user" tags: "shop/user"'), "invalidation 'user': a tag is listed twice"),
        (
            invalidation('tags: "shop/user" format: DATE'),
            "tag 'shop/user': the invalidation has format DATE, but this identifier has not",
        ),
        (
            invalidation('tags: "shop/user"').replace("user = 1", "user = 1 [(coherd.v1.identifier) = {format: DATE}]"),
            "tag 'shop/user': this identifier has format DATE, but the invalidation has not",
        ),
        (USER + domain(TTL + ' personal: "zz"'), "personal 'zz' is not an identifier of any of its resources"),
        (USER + domain(TTL + ' open: true personal: "Zz"'), "personal 'Zz' is not an identifier"),
        (USER + domain(TTL + ' readers: ""'), "service ShopCache: readers lists an empty name"),
        (USER + domain(TTL + ' writers: "web" writers: " "'), "service ShopCache: writers lists an empty name"),
        (USER + domain(TTL + ' invalidators: ""'), "service ShopCache: invalidators lists an empty name"),
        ("message Nothing {}", "t: no service carries the option (coherd.v1.domain): the catalog is empty"),
        (
            USER + domain(rpcs=RESOURCE).replace("option (coherd.v1.domain)", "// "),
            "service ShopCache, rpc A: has the option (coherd.v1.resource), but its service has no (coherd.v1.domain)",
        ),
    ],
)
def test_declarations_that_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(CatalogError) as refused:
        load_catalog([Source("t", compile_text(tmp_path, HEAD + text))])
    assert any(problem in line for line in refused.value.problems)
    assert all("t.proto" in line or "empty" in line for line in refused.value.problems)


@pytest.mark.parametrize(
    ("syntax", "field", "enum", "read_as"),
    [
        ('syntax = "proto2"', "optional E user = 1", "E_A = 0; E_B = 1;", "E_A"),
        ('syntax = "proto2"', "optional E user = 1 [default = E_B]", "E_UNKNOWN = 0; E_A = 1; E_B = 2;", "E_B"),
        ('syntax = "proto2"', "optional E user = 1", "E_UNKNOWN = 0; E_A = 1; E_B = 2;", ""),
        ('edition = "2023"', "E user = 1", "option features.enum_type = CLOSED; E_A = 0; E_B = 1;", "E_A"),
        ('edition = "2023"', "E user = 1", "E_A = 0; E_B = 1;", ""),
        ('edition = "2024"', "E user = 1", "E_A = 0; E_B = 1;", ""),
    ],
)
def test_a_closed_enum_needs_a_first_value_that_is_none(
    tmp_path: Path, syntax: str, field: str, enum: str, read_as: str
) -> None:
    """Else a typed read with a value that the server does not know is answered with what another key holds."""
    text = HEAD.replace('syntax = "proto3"', syntax) + key_field(f"{field};", f"enum E {{ {enum} }}")
    source = Source("t", compile_text(tmp_path, text))
    if read_as:
        problem = "K.user: enum E is closed (proto2): a value it does not know would be read as"
        with pytest.raises(CatalogError) as refused:
            load_catalog([source])
        assert refused.value.problems == (f"t.proto: {problem} {read_as}",)
    else:
        assert load_catalog([source]).build("shop", "a", {"user": "b"}) == "shop:a:user:b"


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = key_field("repeated string user = 1;") + domain("", name="other")
    with pytest.raises(CatalogError) as refused:
        load_catalog([Source("t", compile_text(tmp_path, HEAD + text))])
    assert len(refused.value.problems) == 3  # K twice, a missing ttl


@pytest.mark.parametrize(
    "options",
    [
        "",
        "policy: {max: {seconds: 59}}",
        "ttl: {seconds: 0}",
        "ttl: {nanos: 1}",
        "ttl: {nanos: 1000000000} policy: {stale: {seconds: 1}}",
        TTL + " policy: {max: {seconds: 59}}",
        TTL + " policy: {jitter: 2}",
    ],
)
def test_a_policy_that_is_wrong_is_told_once(tmp_path: Path, options: str) -> None:
    """Not again for every resource that inherits it, nor for what cannot be judged without it."""
    rpcs = (
        "rpc A(K) returns (coherd.v1.Json) {} rpc B(K) returns (coherd.v1.Json) {"
        " option (coherd.v1.resource) = { policy: {max: {seconds: 90}} }; }"
    )
    with pytest.raises(CatalogError) as refused:
        load_catalog([Source("t", compile_text(tmp_path, HEAD + USER + domain(options, rpcs)))])
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize(
    ("kind", "option", "value", "longest"),
    [
        ("string", "", "x", 48),
        ("bool", "", True, 45),
        ("int32", '[(coherd.v1.identifier) = {unit: "days"}]', 0, 44),
        ("E", "", "ab", 47),
        ("string", "[(coherd.v1.identifier) = {format: DATE}]", "20250806", 41),
    ],
)
def test_a_resource_whose_keys_are_all_too_long_is_refused(
    tmp_path: Path, kind: str, option: str, value: object, longest: int
) -> None:
    def source(last: str) -> Source:
        fields = [f"string {number * 62} = {number.encode().hex()};" for number in "abcdefg"]
        fields.append(f"{kind} {last} = 1 {option};")
        text = key_field(" ".join(fields), "enum E { E_UNKNOWN = 0; E_ABC = 1; E_AB = 2; }")
        return Source("t", compile_text(tmp_path, HEAD + text))

    name = "z" * longest
    values = {number * 62: "x" for number in "abcdefg"} | {name: value}
    assert len(load_catalog([source(name)]).build("shop", "a", values)) == 512
    with pytest.raises(CatalogError) as refused:
        load_catalog([source(name + "z")])
    problem = "t.proto: service ShopCache, rpc A: its shortest key has 513 bytes, a key has at most 512"
    assert refused.value.problems == (problem,)


def test_a_set_that_declares_nothing_is_refused_beside_others(tmp_path: Path) -> None:
    """Most likely the option of the domain was forgotten; the others would have hidden it."""
    nothing = Source("own.binpb", compile_text(tmp_path, HEAD + USER + "service ShopCache {}"))
    with pytest.raises(CatalogError) as refused:
        load_catalog([builtin_source(), nothing])
    problem = "own.binpb: no service carries the option (coherd.v1.domain): the catalog is empty"
    assert refused.value.problems == (problem,)
    with pytest.raises(CatalogError, match="no descriptor set is given"):
        load_catalog([])
    load_catalog([Source("part", nothing.data)], partial=True)


def test_a_set_of_invalidations_alone_beside_the_built_in_catalog(tmp_path: Path) -> None:
    text = 'option (coherd.v1.invalidation) = { name: "%s" summary: "s" tags: "analytics/content" };'
    both = load_catalog([builtin_source(), Source("own", compile_text(tmp_path, HEAD + text % "item"))])
    assert {"item", "user"} < both.invalidations.keys()
    with pytest.raises(CatalogError) as refused:
        load_catalog([builtin_source(), Source("own", compile_text(tmp_path, HEAD + text % "user"))])
    problem = "t.proto: invalidation 'user': declared twice, also by coherd/domains/tags/v1/tags.proto"
    assert refused.value.problems == (problem,)


@pytest.mark.parametrize(
    ("package", "name", "refused"),
    [
        ("coherd.v1", "t.proto", True),
        ("grpc.health.v1", "t.proto", True),
        ("coherd.v1", "coherd/v1/own.proto", True),
        ("coherd.v1x", "t.proto", False),
        ("coherd.domains.shop.v1", "t.proto", False),
    ],
)
def test_services_of_the_server_itself_are_no_domains(tmp_path: Path, package: str, name: str, refused: bool) -> None:
    source = Source(
        "t", compile_text(tmp_path, HEAD.replace("package t", f"package {package}") + USER + domain(), name=name)
    )
    if refused:
        with pytest.raises(CatalogError) as error:
            load_catalog([source])
        assert error.value.problems == (f"{name}: service ShopCache: the package {package} is the server's own",)
    else:
        assert load_catalog([source]).domains.keys() == {"shop"}


@pytest.mark.parametrize(("name", "refused"), [("health.proto", True), ("grpc/health/v1/health.proto", False)])
def test_services_of_the_server_itself_are_declared_in_their_own_files(
    tmp_path: Path, name: str, refused: bool
) -> None:
    compile_text(tmp_path, 'syntax = "proto3"; package grpc.health.v1; service Health {}', name=name)
    source = Source("t", compile_text(tmp_path, HEAD + f'import "{name}"; ' + USER + domain()))
    if refused:
        with pytest.raises(CatalogError, match=r"^health\.proto: service Health: the package grpc\.health\.v1 is the"):
            load_catalog([source])
    else:
        assert load_catalog([source]).domains.keys() == {"shop"}


def test_options_of_a_later_version_are_refused(tmp_path: Path) -> None:
    files = FileDescriptorSet.FromString(compile_text(tmp_path, HEAD + USER + domain()))
    file = files.file[-1]
    later = b"\x98\x06\x01"  # field 99, varint
    file.service[0].options.MergeFromString(b"\xda\xe7\x18" + bytes([len(later)]) + later)  # field 50811
    with pytest.raises(CatalogError, match="has a field this version does not know"):
        load_catalog([Source("t", files.SerializeToString())])


@pytest.mark.parametrize("element", ["file", "service", "method", "field"])
def test_unknown_options_of_ours_are_refused(tmp_path: Path, element: str) -> None:
    files = FileDescriptorSet.FromString(compile_text(tmp_path, HEAD + USER + domain()))
    file = files.file[-1]
    declared = {
        "file": file,
        "service": file.service[0],
        "method": file.service[0].method[0],
        "field": file.message_type[0].field[0],
    }[element]
    declared.options.MergeFromString(b"\xf0\xe9\x18\x01")  # field 50846, varint
    with pytest.raises(CatalogError, match="option 50846 is not known"):
        load_catalog([Source("t", files.SerializeToString())])
