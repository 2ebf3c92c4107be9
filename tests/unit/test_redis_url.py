"""URLs of ``--redis``: what is accepted, and that errors are one line without secrets."""

from __future__ import annotations

import pytest

from coherd_server.redis.redis_url import Mode, RedisTarget, RedisUrlError, parse_redis_url


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://localhost", RedisTarget(Mode.SINGLE, (("localhost", 6379),))),
        ("redis://10.0.0.1:7000/3", RedisTarget(Mode.SINGLE, (("10.0.0.1", 7000),), db=3)),
        ("redis://h?db=4", RedisTarget(Mode.SINGLE, (("h", 6379),), db=4)),
        ("redis://[::1]:7000", RedisTarget(Mode.SINGLE, (("::1", 7000),))),
        ("redis://:p%40ss@h", RedisTarget(Mode.SINGLE, (("h", 6379),), password="p@ss")),
        ("redis://me:p%3Aw@h/1", RedisTarget(Mode.SINGLE, (("h", 6379),), db=1, username="me", password="p:w")),
        (
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_check_hostname=false",
            RedisTarget(
                Mode.SINGLE,
                (("h", 6379),),
                tls=True,
                tls_options=(("ssl_ca_certs", "/ca.pem"), ("ssl_check_hostname", False)),
            ),
        ),
        ("unix:///run/v.sock?db=2", RedisTarget(Mode.SINGLE, (), path="/run/v.sock", db=2)),
        ("unix://:pw@/run/v.sock", RedisTarget(Mode.SINGLE, (), path="/run/v.sock", password="pw")),
        (
            "redis+sentinel://u:p@a,b:1/main/5?sentinel_username=su&sentinel_password=sp",
            RedisTarget(
                Mode.SENTINEL,
                (("a", 26379), ("b", 1)),
                service="main",
                db=5,
                username="u",
                password="p",
                sentinel_username="su",
                sentinel_password="sp",
            ),
        ),
        ("rediss+sentinel://a/main", RedisTarget(Mode.SENTINEL, (("a", 26379),), service="main", tls=True)),
        ("redis+cluster://a:1,[::2]:2,c", RedisTarget(Mode.CLUSTER, (("a", 1), ("::2", 2), ("c", 6379)))),
        ("rediss+cluster://a", RedisTarget(Mode.CLUSTER, (("a", 6379),), tls=True)),
    ],
)
def test_accepted(url: str, target: RedisTarget) -> None:
    assert parse_redis_url(url) == target
    assert parse_redis_url(target.describe()).addresses == (target.addresses)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "scheme"),
        ("localhost:6379", "scheme"),
        ("http://hunter2@h", "needs a password"),
        ("redis+what://:hunter2@h", "scheme"),
        ("redis+://:hunter2@h", "scheme"),
        ("unix+cluster://:hunter2@h", "scheme"),
        ("redis://", "host is missing"),
        ("redis://:hunter2@", "host is missing"),
        ("redis://:hunter2@h:0", "port"),
        ("redis://:hunter2@h:66000", "port"),
        ("redis://:hunter2@h:x", "port"),
        ("redis://:hunter2@a,b", "one host only"),
        ("redis://:hunter2@h/x", "database"),
        ("redis://:hunter2@h/-1", "database"),
        ("redis://:hunter2@h/70000", "database"),
        ("redis://:hunter2@h/1/2", "too many"),
        ("redis://:hunter2@h/1?db=2", "too many"),
        ("redis://:hunter2@h?nope=1", "'nope' is not known"),
        ("redis://:hunter2@h?ssl_ca_certs=/x", "'ssl_ca_certs' is not known"),
        ("rediss://:hunter2@h?ssl_check_hostname=maybe", "true or false"),
        ("rediss://:hunter2@h?ssl_cert_reqs=some", "required or none"),
        ("redis://:hunter2#x@h", "%23"),
        ("redis://:hunter2/x@h", "%2F"),
        ("redis://:hunter2?x=y@h", "%2F or %3F"),
        ("redis://hunter2@h", "needs a password"),
        ("redis://:hunter2@[::1", "cannot be read"),
        ("redis+sentinel://:hunter2@h", "service name"),
        ("redis+cluster://:hunter2@h/1", "only database 0"),
        ("unix://:hunter2@/", "absolute path"),
        ("unix://h/x.sock", "absolute path"),
    ],
)
def test_refused_in_one_line_without_secrets(url: str, text: str) -> None:
    with pytest.raises(RedisUrlError) as caught:
        parse_redis_url(url)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_logs_show_no_secret() -> None:
    url = "rediss+sentinel://who:hunter2@a:1,b:2/main/3?sentinel_username=who&sentinel_password=hunter2"
    target = parse_redis_url(url)
    assert target.describe() == "rediss+sentinel://a:1,b:2/main/3"
    for text in (repr(target), str(target), target.describe()):
        assert "hunter2" not in text
        assert "who" not in text
