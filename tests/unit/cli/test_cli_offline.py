"""The commands that need no server, the exit codes of wrong usage, and how the command line itself behaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from coherd.catalog.load import builtin_source
from coherd.cli.app import coherd
from rig.protos import HEAD, compile_text
from rig.shop_catalog import shop_set

INVALIDATION = 'option (coherd.v1.invalidation) = { name: "reader" tags: "analytics/user" };'
"""Of a domain of the built-in catalog."""
CLASHING = """
service Own {
  option (coherd.v1.domain) = { name: "analytics" ttl: { seconds: 60 } tags: "user" };
  rpc Event(EventKey) returns (coherd.v1.Json) {}
}
message EventKey { string user = 1; }
"""
"""A domain that the built-in catalog has, too."""
NOWHERE = ("--server", "127.0.0.1:1", "--timeout", "1s")


def run(*args: str, stdin: bytes | None = None) -> Result:
    return CliRunner(env={"COHERD_TARGET": "127.0.0.1:1"}).invoke(coherd, list(args), input=stdin)


def one_line(text: str) -> str:
    assert text.startswith("coherd: ")
    assert text.count("\n") == 1
    return text


def test_help_says_what_it_is_and_lists_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "one coherent cache" in result.stdout
    assert "130 interrupted" in result.stdout
    for name in ("get", "set", "delete", "touch", "invalidate", "metrics", "catalog", "keys", "replay", "demo"):
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize(
    "command",
    [
        "get",
        "set",
        "delete",
        "touch",
        "invalidate",
        "metrics",
        "catalog",
        "catalog check",
        "keys",
        "keys explain",
        "replay",
        "demo",
    ],
)
def test_every_command_has_examples(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"coherd {command}" in result.stdout.partition("Examples:")[2]


def test_version() -> None:
    assert run("--version").stdout.startswith("coherd ")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["get"],
        ["get", "content:topics:user:u1", "--nonsense"],
        ["get", "content:topics:user:u1", "--raw", "--json"],
        ["get", "content:topics:user:u1", "--timeout", "5"],
        ["get", "content:topics:user:u1", "--timeout", "0s"],
        ["get", "content:topics:user:u1", "--tls-ca", "/does/not/exist"],
        ["get", "content:topics:user:u1", "--catalog", "/does/not/exist"],
        ["set", "content:topics:user:u1", "{}", "--ttl", "-5s"],
        ["set", "content:topics:user:u1", "{}", "--ttl", "0s"],
        ["set", "content:topics:user:u1", "{}", "--tag", "user"],
        ["set", "content:topics:user:u1", "{}", "--tag", "user=\udcff"],
        ["set", "content:topics:user:u1", "{}", "--tag", "user=a", "--tag", "user=b"],
        ["set", "content:topics:user:u1", "{}", "--version", "0"],
        ["set", "content:topics:user:u1", '{"a'],
        ["set", "content:topics:user:u1", ""],
        ["get", "content:topics:user:u1", "--server", "http://localhost:50051"],
        ["get", "content:topics:user:u1", "--server", "localhost"],
        ["metrics", "--server", "localhost:0"],
        ["metrics", "analytics\udcff"],
        ["invalidate", "user123"],
        ["invalidate", "content:topics:user:u1"],
        ["catalog", "--builtin", "--catalog", "x.binpb"],
        ["catalog", "--no-builtin-catalog"],
        ["keys", "explain", "content:topics:user:u1", "--no-builtin-catalog"],
        ["catalog", "check"],
        ["catalog", "check", "--against", "/does/not/exist"],
        ["replay", "/does/not/exist"],
        ["replay", "/does/not/exist", "--workers", "0"],
        ["metrics", "--every", "1ms"],
    ],
)
def test_wrong_usage_is_one_line_and_code_2(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    one_line(result.stderr)
    assert result.stdout == ""


@pytest.mark.parametrize("token", ["s3cret\n", "s3crét", "s3cret\udcff"])
def test_a_token_that_cannot_be_sent_is_one_line_and_not_shown(token: str) -> None:
    words = ["get", "content:topics:user:u1"]
    for result in (
        run(*words, "--token", token),
        CliRunner(env={"COHERD_TOKEN": token, "COHERD_TARGET": "127.0.0.1:1"}).invoke(coherd, words),
    ):
        assert result.exit_code == 2
        assert "'--token'" in one_line(result.stderr)
        assert "s3cr" not in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["get", "content:topics:user:u1"],
        ["set", "content:topics:user:u1", "{}"],
        ["delete", "content:topics:user:u1"],
        ["touch", "content:topics:user:u1"],
        ["invalidate", "user=u1"],
        ["metrics"],
        ["catalog"],
        ["keys", "explain", "content:topics:user:u1"],
    ],
)
def test_no_server_is_one_line_and_code_4(words: list[str]) -> None:
    result = run(*words, *NOWHERE)
    assert result.exit_code == 4
    assert "127.0.0.1:1" in one_line(result.stderr)


@pytest.mark.parametrize(
    "key",
    ["analytics", "content:topics:user:a b", "content:topics:user:[red]", "x" * 70_000, "a:b\x00", "a:b\n", "\udcff:x"],
)
def test_text_that_is_no_key_is_one_line_and_code_3(key: str) -> None:
    for words in (["get", key], ["set", key, "{}"], ["delete", key], ["touch", key]):
        result = run(*words, *NOWHERE)
        assert result.exit_code == 3
        assert "[KEY_INVALID]" in one_line(result.stderr)


@pytest.mark.parametrize("value", ["a" * 600, "\udcff"])
def test_what_no_invalidation_can_be_of_is_one_line_and_code_3(value: str) -> None:
    result = run("invalidate", f"user={value}", *NOWHERE)
    assert result.exit_code == 3
    assert one_line(result.stderr).endswith("[IDENTIFIER_INVALID]\n")


def test_a_resource_that_is_not_declared_is_remarked_on() -> None:
    result = run("keys", "explain", "analytics:dialy:user:u1")
    assert result.exit_code == 0
    assert result.stderr == "analytics:dialy is not declared (the domain is open); did you mean analytics:daily?\n"
    assert run("keys", "explain", "analytics:something:user:u1").stderr.endswith("(the domain is open)\n")
    assert run("keys", "explain", "analytics:daily:user:u1:date:20250806").stderr == ""


def test_a_key_alone_is_no_selector_but_probably_meant() -> None:
    assert "did you mean: key content:topics:user:u1?" in run("invalidate", "content:topics:user:u1").stderr


def test_explain_a_key() -> None:
    result = run("keys", "explain", "analytics:writing_stats:user:user123:days:30d")
    assert result.exit_code == 0
    for text in (
        "1h, declared by domain analytics",
        "coherd:epoch:analytics/user:user123",
        "coherd invalidate user=user123",
    ):
        assert text in result.stdout


def test_explain_for_machines() -> None:
    found = json.loads(run("keys", "explain", "content:topics:user:u1", "--json").stdout)
    assert found["valid"] is True
    assert found["redis"]["value"] == "content:topics:user:u1"
    wrong = run("keys", "explain", "content:topics:usr:u1", "--json")
    assert wrong.exit_code == 1
    assert json.loads(wrong.stdout)["suggestion"] == "content:topics:user:u1"


def test_markup_and_control_characters_of_a_key_are_shown_never_interpreted() -> None:
    key = "content:drafts:user:x/bold/red"
    assert key in run("keys", "explain", key).stdout
    hostile = run("keys", "explain", "content:[bold]\x1b[31m:user:[/]")
    assert hostile.exit_code == 1
    assert "\x1b" not in hostile.stdout
    assert "content:[bold]\\x1b[31m:user:[/]" in hostile.stdout


def test_catalogs_offline(tmp_path: Path) -> None:
    listed = run("catalog", "--builtin")
    assert listed.exit_code == 0
    assert "analytics:daily:user:{user}:date:{date}" in listed.stdout
    names = [domain["name"] for domain in json.loads(run("catalog", "--builtin", "--json").stdout)["domains"]]
    assert names[:2] == ["ai_model", "analytics"]
    own = tmp_path / "shop.binpb"
    own.write_bytes(shop_set())
    assert "shop:product:sku:{sku}" in run("catalog", "--catalog", str(own)).stdout
    assert run("keys", "explain", "shop:product:sku:a1", "--catalog", str(own)).exit_code == 0
    assert run("keys", "explain", "content:topics:user:u1", "--catalog", str(own)).exit_code == 0


def test_a_file_stands_beside_the_builtin_catalog_or_in_its_place(tmp_path: Path) -> None:
    own = tmp_path / "own.binpb"
    own.write_bytes(shop_set())
    for more, domains in ((["--no-builtin-catalog"], {"shop"}), ([], {"shop", "analytics"})):
        found = json.loads(run("catalog", "--json", "--catalog", str(own), *more).stdout)
        assert {domain["name"] for domain in found["domains"]} & {"shop", "analytics"} == domains
        explained = run("keys", "explain", "content:topics:user:u1", "--catalog", str(own), *more)
        assert explained.exit_code == ("analytics" not in domains)


def test_a_file_is_judged_as_a_server_judges_it(tmp_path: Path) -> None:
    more, other = tmp_path / "more.binpb", tmp_path / "other.binpb"
    more.write_bytes(compile_text(tmp_path, HEAD + INVALIDATION, name="more.proto"))
    other.write_bytes(compile_text(tmp_path, HEAD + CLASHING, name="other.proto"))
    key = "analytics:event:user:u1"
    for words in (["catalog", "--catalog"], ["keys", "explain", key, "--catalog"], ["catalog", "check", "--against"]):
        again = [str(more)] if "check" in words else []
        assert run(*words, str(more), *again).exit_code == 0, words
        alone = run(*words, str(more), *again, "--no-builtin-catalog")
        assert (alone.exit_code, "no such domain" in one_line(alone.stderr)) == (2, True), words
        again = [str(other)] if "check" in words else []
        clash = run(*words, str(other), *again)
        assert (clash.exit_code, "declared twice" in one_line(clash.stderr)) == (2, True), words
        assert clash.stderr.endswith("; a catalog in place of the built-in one: --no-builtin-catalog\n")
        assert run(*words, str(other), *again, "--no-builtin-catalog").exit_code == 0, words


def test_catalog_check(tmp_path: Path) -> None:
    old, new, other = tmp_path / "old.binpb", tmp_path / "new.binpb", tmp_path / "other.binpb"
    old.write_bytes(shop_set())
    new.write_bytes(shop_set(ttl_s=90))
    other.write_bytes(shop_set(identifier="code"))
    assert run("catalog", "check", "--against", str(old), str(old)).exit_code == 0
    harmless = run("catalog", "check", "--against", str(old), str(new))
    assert harmless.exit_code == 0
    assert "shop" in harmless.stdout
    breaking = run("catalog", "check", "--against", str(old), str(other))
    assert breaking.exit_code == 1
    assert "breaking" in breaking.stdout
    found = json.loads(run("catalog", "check", "--against", str(old), str(other), "--json").stdout)
    assert found["breaking"] >= 1
    moved = tmp_path / "moved.binpb"
    moved.write_bytes(shop_set(cents=3))
    lost = run("catalog", "check", "--against", str(old), str(moved))
    assert (lost.exit_code, lost.stderr) == (1, "1 breaking, 0 one-way, 0 other changes\n")
    assert lost.stdout.splitlines() == [
        "breaking  shop:product: value shop.v1.Product.cents: number 2 -> 3: "
        "what was written before is read without it",
        "          - give it its number 2 back",
    ]
    builtin = tmp_path / "builtin.binpb"
    builtin.write_bytes(builtin_source().data)
    assert run("catalog", "check", "--against", str(builtin)).exit_code == 0
    nothing = tmp_path / "nothing.binpb"
    nothing.write_bytes(compile_text(tmp_path, HEAD))
    compared = run("catalog", "check", "--against", str(nothing), str(new))
    assert (compared.exit_code, compared.stdout) == (2, "")
    assert "coherd.v1.domain" in one_line(compared.stderr)


def test_a_change_that_only_older_readers_misread_fails_a_strict_check(tmp_path: Path) -> None:
    old, new = tmp_path / "old.binpb", tmp_path / "new.binpb"
    old.write_bytes(shop_set(cents_type=FieldDescriptorProto.TYPE_UINT32))
    new.write_bytes(shop_set())
    check = ("catalog", "check", "--against", str(old), str(new))
    assert (run(*check).exit_code, run(*check, "--strict").exit_code) == (0, 1)
    found = json.loads(run(*check, "--json").stdout)
    assert (found["breaking"], found["one_way"], found["notice"]) == (0, 1, 0)
    assert found["changes"][0]["severity"] == "one-way"
    assert found["changes"][0]["todo"].startswith("roll out everybody who reads it before")


def test_a_file_that_is_no_catalog(tmp_path: Path) -> None:
    path = tmp_path / "garbage.binpb"
    path.write_bytes(b"\xff" * 30)
    result = run("catalog", "--catalog", str(path))
    assert result.exit_code == 2
    assert "not a compiled descriptor set" in one_line(result.stderr)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "empty"), (b"\0\0\0", "truncated"), (b"a\n\xff\n", "line 2"), (b"\xfd7zXZ\x00oops", "truncated")],
)
def test_a_file_that_is_no_trace(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "trace"
    path.write_bytes(data)
    for result in (run("replay", str(path)), run("replay", "-", stdin=data)):
        assert result.exit_code == 2
        assert says in one_line(result.stderr)


@pytest.mark.parametrize(("command", "extra"), [("get", "cli"), ("serve", "server"), ("doctor", "server")])
def test_without_click_or_rich_the_extra_is_named(command: str, extra: str) -> None:
    block = (
        "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, p=None: None if n == 'rich' else f(n, p)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{block}; from coherd.cli import main; main()", command],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 2
    assert done.stderr == f"coherd: the command line needs rich: install the extra [{extra}]\n"


def test_ctrl_c_is_one_line_and_code_130(tmp_path: Path) -> None:
    fifo = tmp_path / "trace"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [sys.executable, "-m", "coherd.cli", "replay", str(fifo)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with fifo.open("wb"):
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err.strip()) == (130, "", "coherd: interrupted")
