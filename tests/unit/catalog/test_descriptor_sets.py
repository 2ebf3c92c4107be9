"""Descriptor sets as they are read: what is none, what does not fit together, several beside each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from declarations import USER, domain, key_field
from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from coherd.catalog.declared import CatalogError
from coherd.catalog.descriptor_sets import Source
from coherd.catalog.load import builtin_source, load_catalog
from coherd.v1 import annotations_pb2
from rig.protos import HEAD, compile_text


@pytest.mark.parametrize(("data", "problem"), [(b"\xff\xff", "not a compiled descriptor set"), (b"", "is empty")])
def test_what_is_no_descriptor_set(data: bytes, problem: str) -> None:
    with pytest.raises(CatalogError, match=problem):
        load_catalog([Source("shop.binpb", data)])


def test_comments_that_are_not_utf8_are_told_with_their_lines(tmp_path: Path) -> None:
    """protoc takes them; nothing that shows the catalog could."""
    text = (
        "message Other {} // M\u00fcll, which nobody asks for\n// Caf\u00e9.\n"
        + domain()
        + "\n"
        + USER.replace("}", "// \u00e9\n}")
    )
    data = compile_text(tmp_path, HEAD + text)
    good = load_catalog([Source("t", data)])
    assert good.domain("shop").documentation == "Caf\u00e9."
    damaged = data.replace("\u00fc".encode(), b"\xfc ").replace("\u00e9".encode(), b"\xe9 ")
    with pytest.raises(CatalogError) as refused:
        load_catalog([Source("t", damaged)])
    wrong = "the comment here is not UTF-8; save the file as UTF-8"
    assert refused.value.problems == (f"t.proto:9: {wrong}", f"t.proto:8: {wrong}")


def test_missing_imports_name_the_way_out(tmp_path: Path) -> None:
    data = compile_text(tmp_path, HEAD + USER + domain(), imports=False)
    with pytest.raises(CatalogError) as refused:
        load_catalog([Source("own.binpb", data)])
    assert refused.value.problems == tuple(
        f"own.binpb: t.proto: imports coherd/v1/{name}.proto, which is not in the descriptor set;"
        " compile with --include_imports"
        for name in ("annotations", "values")
    )


def test_two_files_of_one_name_that_differ(tmp_path: Path) -> None:
    one = Source("one", compile_text(tmp_path / "one", HEAD + USER + domain()))
    other = Source("other", compile_text(tmp_path / "other", HEAD + USER + domain("ttl: {seconds: 61}")))
    with pytest.raises(CatalogError, match=r"t\.proto: differs between one and other"):
        load_catalog([one, other])
    assert load_catalog([one, one]).domains.keys() == {"shop"}


def test_two_files_that_declare_one_message(tmp_path: Path) -> None:
    one = Source("one", compile_text(tmp_path / "one", HEAD + USER + domain()))
    other = Source("other", compile_text(tmp_path / "other", HEAD + USER + domain(name="other"), name="u.proto"))
    with pytest.raises(CatalogError) as refused:
        load_catalog([one, other])
    problem = "other: u.proto: does not link: duplicate symbol 't.K', which is also in t.proto of one"
    assert refused.value.problems == (problem,)


def crafted(tmp_path: Path, change: Callable[[FileDescriptorProto], object]) -> Source:
    """A set with a change that no compiler would write."""
    files = FileDescriptorSet.FromString(compile_text(tmp_path, HEAD + key_field("E user = 1;", "enum E { E_A = 0; }")))
    change(files.file[-1])
    return Source("own.binpb", files.SerializeToString())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda file: file.message_type.add(name="K"),
            "own.binpb: t.proto: does not link: duplicate symbol 't.K'",
        ),
        (
            lambda file: file.dependency.append("t.proto"),
            "own.binpb: t.proto: does not link: Depends on file 't.proto', but it has not been loaded",
        ),
        (
            lambda file: file.service[0].method[0].MergeFrom(MethodDescriptorProto(input_type="K")),
            "t.proto: service ShopCache, rpc A: type 'K' is not a full name with a dot in front, as protoc writes it",
        ),
        (
            lambda file: file.service[0].method[0].MergeFrom(MethodDescriptorProto(output_type="K")),
            "t.proto: service ShopCache, rpc A: type 'K' is not a full name with a dot in front, as protoc writes it",
        ),
        (
            lambda file: file.message_type[0].field[0].MergeFrom(FieldDescriptorProto(type_name="E")),
            "t.proto: K.user: type 'E' is not a full name with a dot in front, as protoc writes it",
        ),
    ],
)
def test_sets_that_no_compiler_writes(
    tmp_path: Path, change: Callable[[FileDescriptorProto], object], problem: str
) -> None:
    with pytest.raises(CatalogError) as refused:
        load_catalog([crafted(tmp_path, change)])
    assert problem in refused.value.problems


def test_a_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    data = crafted(tmp_path, lambda file: None).data.replace(b"\x07t.proto", b"\x07t\xe9proto")
    with pytest.raises(CatalogError, match=r"^own\.binpb: the name of a file is not UTF-8$"):
        load_catalog([Source("own.binpb", data)])


def test_a_problem_is_one_line_whatever_is_named(tmp_path: Path) -> None:
    def rename(file: FileDescriptorProto) -> None:
        file.service[0].options.Extensions[annotations_pb2.domain].ttl.Clear()
        file.name = "t\n\x1b[31m\ud7ff.proto"

    with pytest.raises(CatalogError) as refused:
        load_catalog([crafted(tmp_path, rename)])
    problem = "t\\n\\x1b[31m\\ud7ff.proto: service ShopCache: ttl must be in 1ms..366d, not 0s"
    assert refused.value.problems == (problem,)
    assert str(refused.value) == problem


def test_comments_without_a_place_are_none(tmp_path: Path) -> None:
    def displace(file: FileDescriptorProto) -> None:
        for location in file.source_code_info.location:
            location.leading_comments = "Somewhere."
            location.ClearField("span")

    assert load_catalog([crafted(tmp_path, displace)]).domain("shop").documentation == ""


def test_a_chain_of_imports_may_be_long(tmp_path: Path) -> None:
    def lengthen(file: FileDescriptorProto) -> None:
        file.dependency.append("f0.proto")

    files = FileDescriptorSet.FromString(crafted(tmp_path, lengthen).data)
    for number in range(2_000):
        further = [f"f{number + 1}.proto"] if number < 1_999 else []
        files.file.add(name=f"f{number}.proto", dependency=further)
    assert load_catalog([Source("own.binpb", files.SerializeToString())]).domains.keys() == {"shop"}


def test_an_own_catalog_beside_the_built_in_one(tmp_path: Path) -> None:
    own = Source("own", compile_text(tmp_path, HEAD + USER + domain()))
    both = load_catalog([builtin_source(), own])
    assert {"shop", "analytics"} < both.domains.keys()
    assert both.resolve("shop:a:user:u").policy.ttl_ms == 60_000
    clash = Source("clash", compile_text(tmp_path, HEAD + USER + domain(name="analytics")))
    with pytest.raises(CatalogError, match="domain 'analytics' is declared twice"):
        load_catalog([builtin_source(), clash])


def test_part_of_a_catalog_may_name_domains_that_are_elsewhere(tmp_path: Path) -> None:
    text = 'option (coherd.v1.invalidation) = { name: "user" summary: "s" tags: "nowhere/user" };'
    part = load_catalog([Source("t", compile_text(tmp_path, HEAD + text))], partial=True)
    assert [str(tag) for tag in part.invalidations["user"].tags] == ["nowhere/user"]
