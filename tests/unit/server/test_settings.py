"""Settings: precedence, and one line per bad value that says where it stands (`coherd_server.settings`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coherd.contract.near_cache import NearCacheMode
from coherd_server.setting_files import catalog_of
from coherd_server.settings import Settings, SettingsError
from coherd_server.settings_sources import load_settings, unknown_variables

SECRET = "s3cret-token"


def written(tmp_path: Path, text: str) -> Path:
    """A settings file."""
    file = tmp_path / "coherd.toml"
    file.write_text(text)
    return file


def problem(flags: dict[str, Any], environ: dict[str, str], file: Path | None) -> str:
    """The one line a bad value gives."""
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, environ, file)
    [line] = str(caught.value).splitlines()
    return line


def test_defaults() -> None:
    settings = load_settings({}, {"PATH": "/bin", "COHERD_TARGET": "elsewhere"}, None)
    assert settings == Settings()
    assert (settings.listen, settings.redis, settings.workers) == ("127.0.0.1:50051", None, 1)


@pytest.mark.parametrize(
    ("name", "in_file", "in_environment", "as_flag", "expected"),
    [
        ("listen", '"127.0.0.1:1"', "127.0.0.1:2", "127.0.0.1:3", ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")),
        ("workers", "2", "3", "4", (2, 3, 4)),
        ("redis", '"redis://a"', "redis://b", "redis://c", ("redis://a", "redis://b", "redis://c")),
        ("redis_timeout", '"100ms"', "2s", "1m", (100, 2_000, 60_000)),
        ("redis_timeout", "150", "150ms", "150ms", (150, 150, 150)),
        ("max_value_bytes", '"2kb"', "3 MB", "4096", (2048, 3 << 20, 4096)),
        ("embedded_memory", "1048576", "1gb", "64m", (1 << 20, 1 << 30, 64 << 20)),
        ("key_prefix", '"a:"', "b:", "c:", ("a:", "b:", "c:")),
        ("log_level", '"debug"', "warning", "error", ("debug", "warning", "error")),
        ("builtin_catalog", "true", "1", True, (True, True, True)),
        ("catalog", '["x", "y"]', "a:b", ("c",), (("x", "y"), ("a", "b"), ("c",))),
        ("max_in_flight", "7", "8", "9", (7, 8, 9)),
    ],
)
def test_flags_before_environment_before_file(
    tmp_path: Path, name: str, in_file: str, in_environment: str, as_flag: object, expected: tuple[object, ...]
) -> None:
    file = written(tmp_path, f"{name} = {in_file}\n")
    environ = {f"COHERD_{name.upper()}": in_environment}
    assert getattr(load_settings({}, {}, file), name) == expected[0]
    assert getattr(load_settings({}, environ, file), name) == expected[1]
    assert getattr(load_settings({name: as_flag}, environ, file), name) == expected[2]


def test_a_good_file(tmp_path: Path) -> None:
    digest = "ab" * 32
    file = written(
        tmp_path,
        f"""
        workers = 3
        [tokens]
        web = "{digest}"
        [ttl.analytics]
        ttl = "30m"
        [ttl."analytics:daily"]
        ttl = "2h"
        max = "7d"
        stale = 0
        jitter = 0.1
        """,
    )
    settings = load_settings({}, {}, file)
    assert settings.tokens == {"web": digest}
    assert settings.access_configured
    assert settings.ttl["analytics"].override().ttl_ms == 1_800_000
    daily = settings.ttl["analytics:daily"].override()
    assert (daily.ttl_ms, daily.max_ttl_ms, daily.stale_ms, daily.jitter) == (7_200_000, 604_800_000, 0, 0.1)
    assert daily.negative_ms is None


BAD = [
    ("listen", "localhost", "host:port"),
    ("listen", "127.0.0.1:99999", "0..65535"),
    ("listen", ":50051", "host:port"),
    ("listen", "127.0.0.1:http", "host:port"),
    ("listen", "::1:50051", "in brackets"),
    ("workers", "none", "integer"),
    ("listen", "[127.0.0.1]:0", "in brackets"),
    ("listen", "a b:1", "a host is"),
    ("listen", "\udcff:1", "a host is"),
    ("embedded_dir", "a\0b", "no NUL"),
    ("workers", "0", "must be at least 1"),
    ("workers", "65", "must be at most 64"),
    ("redis_timeout", "5", "no unit"),
    ("redis_timeout", "1h", "must be at most 1m"),
    ("redis_timeout", "1ms", "must be at least 10ms"),
    ("drain_grace", "-1s", "duration"),
    ("max_value_bytes", "much", "a size is"),
    ("max_value_bytes", "0", "must be at least 1b"),
    ("max_message_bytes", "1kb", "must be at least 4kb"),
    ("embedded_memory", "10tb", "a size is"),
    ("max_batch_items", "1.5", "integer"),
    ("key_prefix", "a{b}", "letters"),
    ("key_prefix", "x" * 65, "64"),
    ("log_level", "loud", "debug"),
    ("log_format", "xml", "json"),
    ("builtin_catalog", "perhaps", "boolean"),
]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workers = 'many'", "must be an integer, a whole number"),
        ("workers = 1.5", "must be an integer, a whole number"),
        ("workers = []", "must be an integer, a whole number"),
        ("builtin_catalog = 'perhaps'", "must be a boolean: true or false"),
        ("builtin_catalog = []", "must be a boolean: true or false"),
        ("log_level = 'loud'", "must be one of 'debug', 'info', 'warning' or 'error'"),
        ("near_cache.analytics = 'far'", "must be one of 'off', 'push' or 'strict'"),
        ("listen = 5", "must be a string, text in quotes"),
        (f"key_prefix = '{'x' * 65}'", "must be at most 64 characters"),
        ("catalog = 'shop.binpb'", "must be a list"),
        ("ttl = 5", "must be a table"),
        ("ttl.analytics = 5", "must be a table"),
        ("ttl.analytics.jitter = 'much'", "must be a number, like 0.1"),
        ("tokens.web = 5", "must be a string, text in quotes"),
    ],
)
def test_what_a_value_must_be_is_said_in_words_of_its_own(tmp_path: Path, text: str, said: str) -> None:
    line = problem({}, {}, written(tmp_path, text))
    assert line.endswith(f": {said}")
    assert "Input should" not in line


@pytest.mark.parametrize("name", ["redis", "catalog", "tls_cert", "embedded_dir", "workers"])
def test_an_empty_variable_is_as_good_as_none(name: str) -> None:
    assert load_settings({}, {f"COHERD_{name.upper()}": ""}, None) == Settings()


@pytest.mark.parametrize("text", ["a = " + "[" * 5_000, "workers = " + "9" * 5_000, 'embedded_dir = "a\\u0000b"'])
def test_a_file_that_no_reader_survives_is_one_line(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    line = problem({}, {}, file)
    assert line.startswith(str(file))
    assert len(line) < 300


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    assert load_settings({}, {}, written(tmp_path, "\ufeffworkers = 3\n")).workers == 3


def test_a_token_has_one_principal(tmp_path: Path) -> None:
    digest = "ab" * 32
    file = written(tmp_path, f"[tokens]\none = '{digest}'\nother = '{digest.upper()}'\n")
    assert "another principal has it, too" in problem({}, {}, file)


@pytest.mark.parametrize("name", ["tokens", "ttl", "near_cache"])
def test_what_only_the_file_can_have_is_not_ignored_elsewhere(name: str) -> None:
    """Who sets tokens where nobody looks would serve without."""
    variable = f"COHERD_{name.upper()}"
    assert problem({}, {variable: "x"}, None) == f"{variable}: {name} is set in the TOML file only"


@pytest.mark.parametrize(("name", "value", "words"), BAD, ids=[f"{name}={value[:20]}" for name, value, _ in BAD])
def test_a_bad_value_names_where_it_stands(tmp_path: Path, name: str, value: str, words: str) -> None:
    line = problem({name: value}, {}, None)
    flag = "--" + name.replace("_", "-")
    assert line.startswith(f"{flag}: ")
    assert f" {name}: " not in line, "told once"
    assert words in line
    line = problem({}, {f"COHERD_{name.upper()}": value}, None)
    assert line.startswith(f"COHERD_{name.upper()}: ")
    assert f" {name}: " not in line, "told once"
    assert words in line
    if not value.isprintable():
        return  # TOML cannot say it
    file = written(tmp_path, f"# a comment\n\n{name} = '{value}' # another\n")
    line = problem({}, {}, file)
    assert line.startswith(f"{file}:3: {name}: ")
    assert words in line


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("workers = 1\nlisten = 5\n", 2, "string"),
        ("\nport = 5\n", 2, "no such setting"),
        ("workers = [1]\n", 1, "integer"),
        ("catalog = 'one'\n", 1, "catalog"),
        (f"[tokens]\n# a comment\nweb = '{SECRET}'\n", 1, "SHA-256"),
        ("[tokens]\nweb = 5\n", 2, "string"),
        ("[ttl.analytics]\nttl = 'soon'\n", 2, "duration"),
        ("workers = 2\n[ttl.analytics]\nttl = '1h'\n[ttl.\"analytics:daily\"]\nttl = '5x'\n", 5, "duration"),
        ("[ttl.analytics]\nsoft = '1h'\n", 2, "no such setting"),
        ("[ttl.analytics]\njitter = 'much'\n", 2, "number"),
        ("[near_cache]\nanalytics = 'push'\npsychology = 'sometimes'\n", 3, "'off', 'push' or 'strict'"),
        ("near_cache_lease = '100ms'\n", 1, "500"),
        ("near_cache_interest = 3\n", 1, "100"),
        ("[listen]\nhost = 'x'\n", 1, "string"),
        ("ttl = 5\n", 1, "must be a table"),
    ],
)
def test_the_line_of_the_file(tmp_path: Path, text: str, line: int, words: str) -> None:
    file = written(tmp_path, text)
    said = problem({}, {}, file)
    assert said.startswith(f"{file}:{line}: "), said
    assert words in said
    assert SECRET not in said


def test_every_bad_value_has_its_line(tmp_path: Path) -> None:
    file = written(tmp_path, "workers = 0\nlog_level = 'loud'\n")
    with pytest.raises(SettingsError) as caught:
        load_settings({"redis_timeout": "1x"}, {"COHERD_KEY_PREFIX": "{"}, file)
    origins = [line.split(": ")[0] for line in str(caught.value).splitlines()]
    assert sorted(origins) == sorted([f"{file}:1", f"{file}:2", "--redis-timeout", "COHERD_KEY_PREFIX"])


@pytest.mark.parametrize("content", [b"workers = = 1\n", b"workers = 1\nworkers = 2\n", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_as_toml(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "coherd.toml"
    file.write_bytes(content)
    assert problem({}, {}, file).startswith(f"{file}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file" in problem({}, {}, tmp_path / "none.toml")
    assert "directory" in problem({}, {}, tmp_path)


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "192.0.2.1:1", "example.org:50051"])
def test_other_than_loopback_needs_access_or_consent(tmp_path: Path, address: str) -> None:
    assert problem({"listen": address}, {}, None).startswith("--listen: ")
    assert problem({}, {"COHERD_LISTEN": address}, None).startswith("COHERD_LISTEN: ")
    file = written(tmp_path, f"\nlisten = '{address}'\n")
    line = problem({}, {}, file)
    assert line.startswith(f"{file}:2: ")
    assert "loopback" in line
    tls = {"tls_cert": "c", "tls_key": "k"}
    assert "loopback" in problem({"listen": address, **tls}, {}, None), "TLS alone lets everybody in"
    tokens = {"a": "ab" * 32}
    assert "loopback" in problem({"listen": address, "tokens": tokens}, {}, None), "tokens must not travel in the clear"
    for consent in ({"insecure": True}, {**tls, "tls_client_ca": "ca"}, {**tls, "tokens": tokens}):
        assert load_settings({"listen": address, **consent}, {}, None).listen == address


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.9.9.9:0"])
def test_loopback_needs_nothing(address: str) -> None:
    assert load_settings({"listen": address}, {}, None).listen == address


@pytest.mark.parametrize(
    ("values", "origin", "words"),
    [
        ({"tls_cert": "c"}, "tls_cert", "belong together"),
        ({"tls_key": "k"}, "tls_key", "belong together"),
        ({"tls_client_ca": "ca"}, "tls_client_ca", "needs tls_cert"),
        ({"builtin_catalog": "false"}, "builtin_catalog", "at least one own catalog"),
        (
            {"max_value_bytes": "16mb"},
            "max_value_bytes",
            "fits no message: max_message_bytes must be at",
        ),
        ({"max_message_bytes": "1mb"}, "max_message_bytes", "max_value_bytes of 1048576 fits no message"),
    ],
)
def test_values_that_do_not_fit_together(tmp_path: Path, values: dict[str, str], origin: str, words: str) -> None:
    line = problem(values, {}, None)
    assert line.startswith("--" + origin.replace("_", "-") + ": ")
    assert words in line
    line = problem({}, {f"COHERD_{name.upper()}": value for name, value in values.items()}, None)
    assert line.startswith(f"COHERD_{origin.upper()}: ")
    file = written(tmp_path, "\n\n" + "".join(f"{name} = '{value}'\n" for name, value in values.items()))
    assert problem({}, {}, file).startswith(f"{file}:3: ")


def test_the_longest_value_a_message_carries_is_accepted() -> None:
    settings = load_settings({"max_value_bytes": str((1 << 20) - 1_024), "max_message_bytes": "1mb"}, {}, None)
    assert settings.max_value_bytes == (1 << 20) - 1_024


def test_near_cache_modes_come_from_the_file_alone(tmp_path: Path) -> None:
    file = written(tmp_path, "near_cache_lease = '2s'\n[near_cache]\nanalytics = 'off'\ncrisis = 'strict'\n")
    settings = load_settings({}, {}, file)
    assert settings.near_cache == {"analytics": NearCacheMode.OFF, "crisis": NearCacheMode.STRICT}
    assert settings.near_cache_terms.lease_ms == 2_000
    catalog = catalog_of(settings)
    modes = [catalog.domains[name].near_cache for name in ("analytics", "crisis", "psychology")]
    assert modes == [NearCacheMode.OFF, NearCacheMode.STRICT, NearCacheMode.STRICT]


def test_a_near_cache_mode_of_no_domain_names_its_line(tmp_path: Path) -> None:
    file = written(tmp_path, "workers = 1\n[near_cache]\nnowhere = 'off'\n")
    with pytest.raises(SettingsError, match=rf"^{file}:3: near_cache override 'nowhere': no such domain"):
        catalog_of(load_settings({}, {}, file))


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("COHERD_REDIS_URL", "COHERD_REDIS"),
        ("COHERD_URL", None),
        ("COHERD_WORKER", "COHERD_WORKERS"),
        ("COHERD_MAX_VALUE", "COHERD_MAX_VALUE_BYTES"),
        ("COHERD_LISTEN_ADDRESS", "COHERD_LISTEN"),
        ("COHERD_redis", "COHERD_REDIS"),
        ("COHERD_TARGETS", "COHERD_TARGET"),
    ],
)
def test_a_variable_that_is_no_setting_is_told(variable: str, meant: str | None) -> None:
    assert unknown_variables({variable: "x", "PATH": "/bin", "COHERD_REDIS": "redis://a"}) == [(variable, meant)]


def test_variables_that_are_read_and_those_of_kubernetes_are_not_told() -> None:
    names = [f"COHERD_{name.upper()}" for name in Settings.model_fields]
    others = ["COHERD_CONFIG", "COHERD_TARGET", "COHERD_TOKEN", "COHERD_PURE", "COHERD_NATIVE"]
    kubernetes = ["COHERD_PORT", "COHERD_PORT_50051_TCP_ADDR", "COHERD_SERVICE_HOST", "COHERD_SERVICE_PORT_GRPC"]
    assert unknown_variables(dict.fromkeys([*names, *others, *kubernetes], "x")) == []
