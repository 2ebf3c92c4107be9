"""The verdict over two versions of a message, against what Protobuf does to bytes; which change has which."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from hypothesis import given, settings
from hypothesis import strategies as st

from coherd.catalog.change import Change, Severity
from coherd.catalog.message_diff import compare_messages
from rig.protos import compile_text
from unit.catalog.message_versions import drawn_file, drawn_value, is_read_as_written, linked, mutated

VALUES = 25
"""Drawn per pair of versions."""


@settings(max_examples=250, deadline=None)
@given(st.integers(0, 2**48))
def test_no_loss_goes_untold(seed: int) -> None:
    """What the new version reads otherwise than it was written is breaking; the other way round at least one-way."""
    draw = Random(seed)
    file = drawn_file(draw)
    old, new = linked(file), linked(mutated(file, draw))
    found = {change.severity for change in compare_messages("shop:price", "value", old, new)}
    if Severity.BREAKING in found:
        return
    assert all(is_read_as_written(drawn_value(old, draw), new) for _ in range(VALUES))
    if Severity.ONE_WAY not in found:
        assert all(is_read_as_written(drawn_value(new, draw), old) for _ in range(VALUES))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**48))
def test_the_same_message_has_no_changes(seed: int) -> None:
    file = drawn_file(Random(seed))
    assert list(compare_messages("shop:price", "value", linked(file), linked(file))) == []


def message(directory: Path, fields: str, syntax: str = "proto3") -> Descriptor:
    """The message ``Value`` of a file with this body."""
    directory.mkdir(exist_ok=True)
    text = f'syntax = "{syntax}"; package v; {fields}'
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(compile_text(directory, text, name="v.proto")).file:
        pool.Add(file)
    return pool.FindMessageTypeByName("v.Value")


def changes(tmp_path: Path, old: str, new: str, syntax: str = "proto3") -> list[Change]:
    before, after = message(tmp_path / "old", old, syntax), message(tmp_path / "new", new, syntax)
    return list(compare_messages("shop:price", "value", before, after))


BREAKING, ONE_WAY, NOTICE = Severity.BREAKING, Severity.ONE_WAY, Severity.NOTICE
COLOUR = "enum Colour { NONE = 0; RED = 1; BLUE = 2; } message Value { Colour colour = 1; }"


@pytest.mark.parametrize(
    ("old", "new", "severity", "says"),
    [
        ("int64 amount = 2;", "int64 amount = 3;", BREAKING, "amount: number 2 -> 3"),
        ("int64 a = 1; int64 b = 2;", "int64 a = 2; int64 b = 1;", BREAKING, "number 1 is now b"),
        ("int64 a = 1;", "int64 total = 1;", NOTICE, "renamed to total"),
        ("int64 a = 1; string b = 2;", "int64 a = 1;", ONE_WAY, "b: removed (number 2)"),
        ("int64 a = 1;", "int64 a = 1; string b = 2;", NOTICE, "b: added (number 2)"),
        ("int64 a = 1; reserved 2;", "int64 a = 1; string b = 2;", BREAKING, "was reserved"),
        ("int64 a = 1;", "sint64 a = 1;", BREAKING, "int64 -> sint64"),
        ("int64 a = 1;", "int32 a = 1;", BREAKING, "int64 -> int32"),
        ("int32 a = 1;", "int64 a = 1;", ONE_WAY, "int32 -> int64"),
        ("int32 a = 1;", "uint64 a = 1;", BREAKING, "int32 -> uint64"),
        ("uint32 a = 1;", "int64 a = 1;", ONE_WAY, "uint32 -> int64"),
        ("bool a = 1;", "int32 a = 1;", ONE_WAY, "bool -> int32"),
        ("int32 a = 1;", "bool a = 1;", BREAKING, "int32 -> bool"),
        ("fixed32 a = 1;", "sfixed32 a = 1;", BREAKING, "fixed32 -> sfixed32"),
        ("fixed64 a = 1;", "double a = 1;", BREAKING, "fixed64 -> double"),
        ("float a = 1;", "double a = 1;", BREAKING, "float -> double"),
        ("string a = 1;", "bytes a = 1;", ONE_WAY, "string -> bytes"),
        ("bytes a = 1;", "string a = 1;", BREAKING, "bytes -> string"),
        ("string a = 1;", "int64 a = 1;", BREAKING, "string -> int64"),
        ("int64 a = 1;", "optional int64 a = 1;", NOTICE, "whether it is set is now known"),
        ("optional int64 a = 1;", "int64 a = 1;", NOTICE, "no longer known"),
        ("optional string a = 1;", "repeated string a = 1;", ONE_WAY, "repeated string"),
        ("string a = 1;", "repeated string a = 1;", BREAKING, "equals its default"),
        ("repeated string a = 1;", "string a = 1;", BREAKING, "of several items one is left"),
        ("repeated int32 a = 1;", "repeated int32 a = 1 [packed = false];", None, ""),
        ("map<string, int32> a = 1;", "map<string, int64> a = 1;", ONE_WAY, "int32 -> int64"),
        ("map<string, int64> a = 1;", "map<int32, int64> a = 1;", BREAKING, "string -> int32"),
        ("repeated P a = 1;", "map<string, int32> a = 1;", BREAKING, "one key only the last"),
        ("P a = 1;", "Q a = 1;", BREAKING, "value v.P.n: number 2 -> 3"),
        ("int32 a = 1; int32 b = 2;", "oneof c { int32 a = 1; int32 b = 2; }", BREAKING, "a, b are in one oneof c"),
        ("oneof c { int32 a = 1; int32 b = 2; }", "int32 a = 1; int32 b = 2;", ONE_WAY, "no more"),
        ("int32 a = 1;", "oneof c { int32 a = 1; int32 b = 2; }", NOTICE, "b: added"),
    ],
)
def test_fields(tmp_path: Path, old: str, new: str, severity: Severity | None, says: str) -> None:
    others = "message P { string key = 1; int32 n = 2; } message Q { string key = 1; int32 n = 3; }"
    found = changes(tmp_path, f"message Value {{ {old} }} {others}", f"message Value {{ {new} }} {others}")
    worst = next((each for each in Severity if any(change.severity is each for change in found)), None)
    assert worst is severity, found
    assert severity is None or any(c.severity is severity and says in c.text for c in found), found
    assert all(change.todo for change in found if change.severity in (BREAKING, ONE_WAY))
    assert all(change.element == "shop:price" and change.text.startswith("value v.") for change in found)


@pytest.mark.parametrize(
    ("old", "new", "open_", "closed", "says"),
    [
        (" BLUE = 2;", " BLUE = 3;", BREAKING, BREAKING, "means something else"),
        ("RED = 1; BLUE = 2;", "RED = 2; BLUE = 1;", BREAKING, BREAKING, "means something else"),
        ("BLUE = 2;", "NAVY = 2;", NOTICE, NOTICE, "renamed to NAVY"),
        (" BLUE = 2;", "", NOTICE, BREAKING, "BLUE removed"),
        ("BLUE = 2;", "BLUE = 2; GREEN = 3;", NOTICE, ONE_WAY, "GREEN = 3 added"),
        ("Colour colour = 1;", "int32 colour = 1;", NOTICE, ONE_WAY, "v.Colour -> int32"),
        ("Colour colour = 1;", "int64 colour = 1;", ONE_WAY, ONE_WAY, "v.Colour -> int64"),
        ("Colour colour = 1;", "bool colour = 1;", BREAKING, BREAKING, "v.Colour -> bool"),
    ],
)
def test_enums(tmp_path: Path, old: str, new: str, open_: Severity, closed: Severity, says: str) -> None:
    assert old in COLOUR
    other = COLOUR.replace(old, new)
    both = [changes(tmp_path, COLOUR, other)]
    for first in ("Colour", "int32", "int64", "bool"):
        other = other.replace(f"Value {{ {first}", f"Value {{ optional {first}")
    both.append(changes(tmp_path, COLOUR.replace("{ Colour", "{ optional Colour"), other, "proto2"))
    for severity, found in zip((open_, closed), both, strict=True):
        worst = next(each for each in Severity if any(change.severity is each for change in found))
        assert worst is severity, found
        assert any(says in change.text for change in found), found


@pytest.mark.parametrize(
    ("old", "new", "severity", "says"),
    [
        ("optional int32 a = 1;", "required int32 a = 1;", BREAKING, "now required"),
        ("required int32 a = 1;", "optional int32 a = 1;", ONE_WAY, "no longer required"),
        ("optional int32 a = 1;", "optional int32 a = 1; required int32 b = 2;", BREAKING, "added as required"),
        ("optional int32 a = 1 [default = 5];", "optional int32 a = 1 [default = 7];", BREAKING, "its default changed"),
        ("optional int32 a = 1;", "optional int32 a = 1; extensions 100 to 200;", None, ""),
    ],
)
def test_what_only_proto2_has(tmp_path: Path, old: str, new: str, severity: Severity | None, says: str) -> None:
    found = changes(tmp_path, f"message Value {{ {old} }}", f"message Value {{ {new} }}", "proto2")
    assert {change.severity for change in found} == ({severity} if severity else set())
    assert all(says in change.text for change in found)


def test_extensions_are_fields(tmp_path: Path) -> None:
    base = "message Value { extensions 100 to 200; } extend Value { optional int64 fee = "
    (change,) = changes(tmp_path, base + "100; }", base + "101; }", "proto2")
    assert (change.severity, "[v.fee]: number 100 -> 101" in change.text) == (BREAKING, True)


def test_a_change_deep_in_messages_that_contain_themselves(tmp_path: Path) -> None:
    nodes = "message Node { repeated Node below = 1; Leaf leaf = 2; } message Leaf { int64 n = 1; }"
    text = "message Value { Node root = 1; } " + nodes
    (change,) = changes(tmp_path, text, text.replace("int64 n = 1", "int64 n = 2"))
    assert change.severity is BREAKING
    assert change.text.startswith("value v.Leaf.n: number 1 -> 2")
