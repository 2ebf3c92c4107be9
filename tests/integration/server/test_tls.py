"""TLS and mTLS: who is let in, and who the certificate says it is. Unusable files: test_serve_refuses.py."""

from __future__ import annotations

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
        caller.call("Get", pb.GetRequest(key={"text": PROFILE}), timeout_s=5)
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
