"""Targets as text, and what is told of one that nobody answers at, or somebody else."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from click.testing import CliRunner

from coherd.cli.app import coherd
from coherd.cli.endpoint import Endpoint, EndpointError, NobodyThere, check_listening, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("localhost:50051", Endpoint("localhost", 50051)),
        ("10.0.0.1:1", Endpoint("10.0.0.1", 1)),
        ("[::1]:65535", Endpoint("::1", 65535)),
        ("cache.internal:50051", Endpoint("cache.internal", 50051)),
    ],
)
def test_host_and_port(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://localhost:50051", "scheme"),
        ("localhost", "no port"),
        ("", "no port"),
        ("localhost:", "1..65535"),
        ("localhost:0", "1..65535"),
        ("localhost:65536", "1..65535"),
        ("localhost:+1", "1..65535"),
        ("localhost:grpc", "1..65535"),
        (":50051", "no host"),
        ("::1:50051", "[::1]:50051"),
        ("local host:1", "no usable host"),
        ("unix:/tmp/x:1", "more than one colon"),
    ],
)
def test_what_is_no_host_and_port(text: str, says: str) -> None:
    with pytest.raises(EndpointError) as caught:
        parse_endpoint(text)
    assert says in str(caught.value)


def test_refused_and_not_found_are_told_apart() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        port = unused.getsockname()[1]
        with pytest.raises(NobodyThere, match=f'nothing answers at here:{port}; is "coherd serve" running there'):
            check_listening(Endpoint("127.0.0.1", port), f"here:{port}", 1)
    with pytest.raises(NobodyThere, match="no host named"):
        check_listening(Endpoint("x" * 70, 1), "x:1", 1)


def test_a_listener_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_listening(Endpoint("127.0.0.1", server.getsockname()[1]), "here", 5)


def test_a_server_of_something_else_is_named_and_doubted() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        result = CliRunner().invoke(coherd, ["get", "content:topics:user:u1", "--server", target])
    finally:
        server.stop(None)
    assert (result.exit_code, result.stdout) == (3, "")
    says = "the server does not know this operation (status UNIMPLEMENTED); is it a Coherd server, of this version?"
    assert result.stderr == f"coherd: {target}: {says}\n"
