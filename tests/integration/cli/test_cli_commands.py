"""The client commands against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
import redis
from click.testing import CliRunner, Result

from coherd.cli.app import coherd
from coherd.v1.values_pb2 import Json
from rig.ports import release_port, reserve_port
from rig.protos import compile_text
from rig.server import CoherdServer
from rig.shop_catalog import shop_set
from rig.waiting import wait_until


class Cli:
    """Runs commands against one server."""

    def __init__(self, target: str) -> None:
        self._target = target

    def __call__(self, *words: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner(env={"COHERD_TARGET": self._target}).invoke(coherd, list(words), input=stdin)


@pytest.fixture
def cli(server: CoherdServer) -> Cli:
    return Cli(server.target)


@pytest.fixture
def user() -> str:
    """A user nobody else's test has."""
    return uuid.uuid4().hex


def test_set_get_touch_delete(cli: Cli, user: str) -> None:
    key = f"analytics:writing_stats:user:{user}:days:30d"
    assert cli("get", key).exit_code == 1
    stored = cli("set", key, '{"words": 812}', "--ttl", "30m")
    assert (stored.exit_code, stored.stdout, stored.stderr) == (0, "", f"stored {key} for 30m\n")
    found = cli("get", key)
    assert (found.exit_code, json.loads(found.stdout), found.stderr) == (0, {"words": 812}, "")
    assert cli("touch", key, "--ttl", "2h").exit_code == 0
    assert json.loads(cli("get", key, "--json").stdout)["remaining_ttl_ms"] > 3_600_000
    assert cli("delete", key).stderr == f"deleted {key}\n"
    assert cli("delete", key).stderr == f"nothing was stored under {key}\n"
    missed = cli("get", key)
    assert (missed.exit_code, missed.stdout) == (1, "")
    assert missed.stderr == f"coherd: miss: nothing is cached under {key}\n"
    assert cli("touch", key).exit_code == 1


def test_a_misspelt_resource_of_an_open_domain_is_remarked_on(cli: Cli, user: str) -> None:
    remark = "analytics:dialy is not declared (the domain is open); did you mean analytics:daily?\n"
    key = f"analytics:dialy:user:{user}"
    for words, code in (
        (["get", key], 1),
        (["touch", key], 1),
        (["delete", key], 0),
        (["invalidate", "resource", "analytics:dialy"], 0),
        (["set", key, "{}"], 0),
        (["set", key, "", "--raw"], 0),
    ):
        result = cli(*words)
        assert (result.exit_code, remark in result.stderr) == (code, True), words
    assert cli("get", key, "--raw").stderr == ""


def test_a_refusal_is_explained_to_whoever_typed_it(cli: Cli, user: str) -> None:
    key = f"content:topics:user:{user}"
    for too_long in ("60d", "9" * 12 + "d"):
        refused = cli("set", key, "1", "--ttl", too_long)
        assert refused.exit_code == 3
        assert "a TTL must be in 1ms..30d, not " in refused.stderr
        assert "[TTL_INVALID]" in refused.stderr
    assert "(see: coherd keys explain KEY) [DOMAIN_UNKNOWN]" in cli("get", "nowhere:x").stderr
    assert "keys explain" not in cli("metrics", "nowhere").stderr


@pytest.mark.parametrize("text", ["0", "null", '""', "[]", '{"é": [1, 2.5]}', str(2**70)])
def test_falsy_and_large_values_are_values(cli: Cli, user: str, text: str) -> None:
    key = f"content:topics:user:{user}"
    assert cli("set", key, "-", stdin=text).exit_code == 0
    found = cli("get", key)
    assert found.exit_code == 0
    assert json.loads(found.stdout) == json.loads(text)


def test_metadata(cli: Cli, user: str) -> None:
    key = f"session:data:id:{user}"
    assert cli("set", key, "{}", "--tag", f"user={user}", "--version", "3").exit_code == 0
    document = json.loads(cli("get", key, "--json").stdout)
    assert document["version"] == 3
    assert document["extra_tags"] == {"user": user}
    assert document["value"] == {}
    verbose = cli("get", key, "--verbose")
    assert json.loads(verbose.stdout) == {}
    assert f"version 3 · tag user={user}" in verbose.stderr


def test_conditional_sets(cli: Cli, user: str) -> None:
    key = f"session:data:id:{user}"
    assert cli("set", key, "1", "--version", "3").exit_code == 0
    older = cli("set", key, "2", "--version", "2")
    assert (older.exit_code, "higher version" in older.stderr) == (1, True)
    present = cli("set", key, "2", "--only-if-absent")
    assert (present.exit_code, "there is a value" in present.stderr) == (1, True)
    assert cli("get", key).stdout == "1\n"


def test_message_values(cli: Cli, user: str) -> None:
    key = f"celery:task_metrics:id:{user}"
    assert cli("set", key, '{"task_name": "app.analyse", "retries": 2}').exit_code == 0
    assert json.loads(cli("get", key).stdout) == {"task_name": "app.analyse", "retries": 2}
    refused = cli("set", key, '{"nope": 1}')
    assert (refused.exit_code, "coherd.domains.celery.v1.TaskMetrics" in refused.stderr) == (3, True)


def test_raw_bytes(cli: Cli, user: str) -> None:
    key = f"content:topics:user:{user}"
    payload = Json(text="[1]").SerializeToString()
    assert cli("set", key, "-", "--raw", stdin=payload).exit_code == 0
    assert cli("get", key, "--raw").stdout_bytes == payload
    assert cli("set", key, "-", "--raw", stdin=b"\xff\xff").exit_code == 0
    broken = cli("get", key)
    assert (broken.exit_code, broken.stdout) == (3, "")
    assert broken.stderr == "coherd: the stored value is not a JSON document\n"


def test_invalidate_a_user(cli: Cli, user: str) -> None:
    keys = [f"analytics:daily:user:{user}:date:20250806", f"psychology:profile:user:{user}", f"session:data:id:{user}"]
    other = f"content:topics:user:{user}"
    for key in (*keys, other):
        tags = ["--tag", f"user={user}"] if key.startswith("session") else []
        assert cli("set", key, "{}", *tags).exit_code == 0
    done = cli("invalidate", f"user={user}")
    assert done.stdout.split() == [
        f"{domain}/user:{user}" for domain in ("analytics", "psychology", "crisis", "session")
    ]
    assert done.stderr == "4 tags got a new epoch\n"
    assert [cli("get", key).exit_code for key in keys] == [1, 1, 1]
    assert cli("get", other).exit_code == 0


def test_invalidate_by_every_other_selector(cli: Cli, user: str) -> None:
    key = f"content:drafts_{user[:8]}:user:{user}"
    resource = f"content:drafts_{user[:8]}"
    for words in (["tag", f"content/user:{user}"], ["resource", resource], ["domain", "content"], ["key", key]):
        assert cli("set", key, "{}").exit_code == 0
        done = cli("invalidate", *words, "--json", "--wait-for-near-caches")
        assert done.exit_code == 0
        answer = json.loads(done.stdout)
        assert answer["tags"] == ([] if words[0] == "key" else [words[1]])
        assert answer["deleted_keys"] == (words[0] == "key")
        assert cli("get", key).exit_code == 1
    assert cli("set", key, "{}").exit_code == 0
    many = cli("invalidate", "tag", f"user:{user}", "key", key)
    assert many.exit_code == 0
    assert f"content/user:{user}" in many.stdout.split()
    assert many.stderr.endswith("1 key deleted\n")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["get", "nowhere:daily"], "DOMAIN_UNKNOWN"),
        (["set", "nowhere:daily", "{}"], "DOMAIN_UNKNOWN"),
        (["get", "analytics:daily:user:u1"], "IDENTIFIER_INVALID"),
        (["set", "analytics:writing_stats:user:u1:days:030d", "{}"], "IDENTIFIER_INVALID"),
        (["set", "content:topics:user:u1", "{}", "--ttl", "300d"], "TTL_INVALID"),
        (["set", "content:topics:user:u1", "{}", "--tag", "colour=red"], "TAG_INVALID"),
        (["invalidate", "nobody=1"], "SELECTOR_INVALID"),
        (["invalidate", "date=yesterday"], "IDENTIFIER_INVALID"),
        (["invalidate", "tag", "celery/user:u1"], "TAG_INVALID"),
        (["metrics", "nowhere"], "DOMAIN_UNKNOWN"),
    ],
)
def test_what_the_server_refuses_is_one_line_with_its_reason(cli: Cli, words: list[str], reason: str) -> None:
    result = cli(*words)
    assert result.exit_code == 3
    assert result.stderr.startswith("coherd: ")
    assert result.stderr.endswith(f"[{reason}]\n")
    assert result.stderr.count("\n") == 1


def test_metrics(cli: Cli, user: str) -> None:
    key = f"content:topics:user:{user}"
    before = json.loads(cli("metrics", "content", "--json").stdout)["content"]
    cli("get", key)
    cli("set", key, "{}")
    cli("get", key)
    after = json.loads(cli("metrics", "content", "--json").stdout)["content"]
    assert {name: after[name] - before[name] for name in ("hits", "misses", "sets")} == {
        "hits": 1,
        "misses": 1,
        "sets": 1,
    }
    table = cli("metrics", "content").stdout
    assert "content:topics:user:{user}" in table
    assert "hit ratio" in table
    assert "analytics" in cli("metrics").stdout


@contextmanager
def watched(server: CoherdServer, *options: str) -> Iterator[IO[bytes]]:
    """What `metrics --watch` writes to a pipe; ended with Ctrl-C."""
    command = [sys.executable, "-m", "coherd.cli", "metrics", "--watch", "--every", "100ms", *options]
    with subprocess.Popen(
        [*command, "--server", server.target], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield process.stdout
        finally:
            process.send_signal(2)
        assert process.stderr.read().decode().strip() == "coherd: interrupted"
        assert process.wait(60) == 130


def test_metrics_watched_until_ctrl_c(server: CoherdServer) -> None:
    with watched(server, "--json") as output:
        seen = [json.loads(output.readline()) for _ in range(3)]
    assert all("analytics" in found for found in seen)


def test_metrics_watched_in_a_pipe_are_a_table_per_interval(server: CoherdServer) -> None:
    tables = 0
    with watched(server) as output:
        while tables < 3:
            tables += b"hit ratio" in output.readline()


def test_a_server_serves_without_a_stdout() -> None:
    port = reserve_port()
    try:
        command = f'exec "{sys.executable}" -m coherd.cli serve --listen 127.0.0.1:{port} >&-'
        with subprocess.Popen(["bash", "-c", command], stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            try:
                wait_until("it serves", lambda: Cli(f"127.0.0.1:{port}")("metrics").exit_code == 0)
            finally:
                process.terminate()
            assert b"stopping" in process.stderr.read()
            assert process.wait(60) == 0
    finally:
        release_port(port)


def test_catalog_of_the_server(cli: Cli, server: CoherdServer) -> None:
    listed = cli("catalog")
    assert f"server {server.target}" in listed.stdout
    assert "celery:task_metrics:id:{id}" in listed.stdout
    described = json.loads(cli("catalog", "--json").stdout)
    builtin = json.loads(cli("catalog", "--builtin", "--json").stdout)
    assert described["domains"] == builtin["domains"]
    assert described["invalidations"] == builtin["invalidations"]


def test_explain_shows_the_operators_overrides(tmp_path: Path) -> None:
    config = tmp_path / "coherd.toml"
    config.write_text('[ttl."analytics:daily"]\nttl = "90s"\n')
    key = "analytics:daily:user:u1:date:20250806"
    with CoherdServer("--config", str(config)) as own:
        shown = Cli(own.target)("keys", "explain", key, "--server", own.target)
        assert shown.exit_code == 0
        assert "1m30s, the operator's override on the server" in shown.stdout
    assert "1h, declared by domain analytics" in Cli(own.target)("keys", "explain", key).stdout


def test_a_catalog_of_ones_own(tmp_path: Path) -> None:
    own_set = tmp_path / "shop.binpb"
    own_set.write_bytes(shop_set())
    key = "shop:product:sku:a1"
    with CoherdServer("--catalog", str(own_set)) as own:
        cli = Cli(own.target)
        assert "--catalog FILE.binpb" in cli("set", key, '{"title": "Tea"}').stderr
        assert cli("set", key, '{"title": "Tea", "cents": "499"}', "--catalog", str(own_set)).exit_code == 0
        assert json.loads(cli("get", key, "--catalog", str(own_set)).stdout) == {"title": "Tea", "cents": "499"}
        assert json.loads(cli("get", key).stdout)["@type"] == "shop.v1.Product"


REPLACING = """
syntax = "proto3";
package own.v1;
import "coherd/v1/annotations.proto";
import "google/protobuf/any.proto";
option (coherd.v1.invalidation) = { name: "user" tags: "analytics/user" };
service Own {
  option (coherd.v1.domain) = { name: "analytics" ttl: { seconds: 60 } tags: "user" };
  rpc Event(EventKey) returns (google.protobuf.Any) {}
}
message EventKey { string user = 1; }
message Opened { string page = 1; }
"""
"""A catalog with names of the built-in one."""


def test_a_catalog_in_place_of_the_builtin_one(tmp_path: Path) -> None:
    own_set = tmp_path / "own.binpb"
    own_set.write_bytes(compile_text(tmp_path, REPLACING, name="own/v1/own.proto"))
    key, value = "analytics:event:user:u1", {"@type": "type.googleapis.com/own.v1.Opened", "page": "home"}
    with CoherdServer("--catalog", str(own_set), "--no-builtin-catalog") as own:
        cli = Cli(own.target)
        assert cli("set", key, json.dumps(value), "--catalog", str(own_set)).exit_code == 0
        assert json.loads(cli("get", key, "--catalog", str(own_set)).stdout) == value
        assert json.loads(cli("get", key).stdout) == {"@type": value["@type"], "base64": "CgRob21l"}


def test_names_in_redis_are_those_explained(own_server: CoherdServer, user: str) -> None:
    cli = Cli(own_server.target)
    key = f"analytics:daily:user:{user}:date:20250806"
    assert cli("set", key, "{}").exit_code == 0
    named = json.loads(cli("keys", "explain", key, "--json").stdout)["redis"]
    with redis.Redis.from_url(own_server.store_url) as store:
        stored = {name.decode() for name in store.scan_iter(count=1000)}
    assert {named["value"], *named["epochs"]} <= stored
