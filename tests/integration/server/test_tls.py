"""TLS and mTLS: who is let in, and who the certificate says it is. Unusable files: test_serve_refuses.py."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from coherd.v1 import cache_service_pb2 as pb
from rig.calls import Caller, problem_in
from rig.certificates import Authority, Pair
from rig.fixtures import RigPool
from rig.server import CoherdServer
from rig.stand import CallerMaker

PROFILE = "psychology:profile:user:u"
"""Of a sensitive domain: needs a principal once credentials are configured."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The one that is trusted."""
    return Authority(tmp_path_factory.mktemp("ca"), "ca")


@pytest.fixture(scope="module")
def server_pair(authority: Authority) -> Pair:
    """The server's."""
    return authority.sign("localhost")


@pytest.fixture
def store(rig_pool: RigPool, name: str) -> tuple[str, ...]:
    """Arguments of a store."""
    return ("--redis", rig_pool.get("standalone").url, "--key-prefix", f"{name}:")


def refused(caller: Caller) -> grpc.StatusCode:
    """The code of a connection that does not come about."""
    with pytest.raises(grpc.RpcError) as caught:
        caller.call("Get", pb.GetRequest(key={"text": PROFILE}), timeout_s=60)
    assert problem_in(caught.value).reason == "", "no answer of the service"
    code = caught.value.code()
    assert isinstance(code, grpc.StatusCode)
    return code


def test_tls(authority: Authority, server_pair: Pair, store: tuple[str, ...], connect: CallerMaker) -> None:
    trusting = grpc.ssl_channel_credentials(authority.cert.read_bytes())
    files = ("--tls-cert", str(server_pair.cert), "--tls-key", str(server_pair.key))
    with CoherdServer(*store, *files) as server:
        assert "TLS" in server.banner[0]
        assert "no TLS" not in server.banner[0]
        caller = connect(server.target, credentials=trusting)
        assert caller.set(PROFILE, b"v") == "STORED"
        assert caller.value(PROFILE) == b"v"
        assert refused(connect(server.target)) is grpc.StatusCode.UNAVAILABLE, "plaintext"
        stranger = Authority(server_pair.cert.parent, "stranger")
        distrusting = grpc.ssl_channel_credentials(stranger.cert.read_bytes())
        assert refused(connect(server.target, credentials=distrusting)) is grpc.StatusCode.UNAVAILABLE
        assert server.stop() == 0


def test_mutual_tls_names_the_caller(
    authority: Authority, server_pair: Pair, store: tuple[str, ...], connect: CallerMaker, tmp_path: Path
) -> None:
    root = authority.cert.read_bytes()
    alice = authority.sign("alice")
    mallory = Authority(tmp_path, "other-ca").sign("alice")
    files = ("--tls-cert", str(server_pair.cert), "--tls-key", str(server_pair.key))
    with CoherdServer(*store, *files, "--tls-client-ca", str(authority.cert)) as server:
        caller = connect(server.target, credentials=grpc.ssl_channel_credentials(root, *alice.pem))
        assert caller.set(PROFILE, b"v") == "STORED", "a sensitive domain: there is a principal"
        for credentials in (
            grpc.ssl_channel_credentials(root),
            grpc.ssl_channel_credentials(root, *mallory.pem),
        ):
            assert refused(connect(server.target, credentials=credentials)) is grpc.StatusCode.UNAVAILABLE
        assert refused(connect(server.target)) is grpc.StatusCode.UNAVAILABLE


def test_what_to_try_is_said_with_the_credentials_it_needs(
    authority: Authority, server_pair: Pair, store: tuple[str, ...], tmp_path: Path
) -> None:
    """And where one of them is missing or wrong, the command line names what may be."""
    alice, stranger = authority.sign("alice"), Authority(tmp_path, "stranger")
    files = ("--tls-cert", str(server_pair.cert), "--tls-key", str(server_pair.key))
    with CoherdServer(*store, *files, "--tls-client-ca", str(authority.cert)) as server:
        [line] = [line for line in server.banner if line.startswith("try: ")]
        known = {"CA.pem": authority.cert, "CERT.pem": alice.cert, "KEY.pem": alice.key}
        words = [str(known.get(word, word)) for word in shlex.split(line.removeprefix("try: "))]
        middle = words.index("&&")
        assert cli(*words[1:middle])[0] == 0
        assert cli(*words[middle + 2 :])[0] == 0
        get = ("get", "--server", f"localhost:{server.target.rpartition(':')[2]}", "content:topics:user:u1")
        for options, doubt in [
            ((), "is it a Coherd server, without TLS?"),
            (("--tls-ca", str(authority.cert)), "does it want a client certificate?"),
            (("--tls-ca", str(stranger.cert)), f"is its certificate for this host and of {stranger.cert}"),
        ]:
            code, said = cli(*get, *options)
            assert code == 4
            assert doubt in said


def test_files_that_cannot_be_used_are_wrong_settings(tmp_path: Path) -> None:
    code, said = cli(
        "serve", "--listen", "127.0.0.1:0", "--tls-cert", str(tmp_path / "c"), "--tls-key", str(tmp_path / "k")
    )
    assert code == 2
    assert "cannot be read" in said


def cli(*words: str) -> tuple[int, str]:
    """Exit code and our own lines of standard error: gRPC has its own."""
    done = subprocess.run(
        [sys.executable, "-m", "coherd.cli", *words], capture_output=True, text=True, timeout=200, check=False
    )
    return done.returncode, "".join(line for line in done.stderr.splitlines() if line.startswith("coherd: "))
