"""Reflection v1 and v1alpha with the catalog's comments; `buf curl` describes and calls a typed method through it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2 as reflection

from coherd.catalog.source_files import Comments
from coherd.v1.values_pb2 import Json
from rig.calls import Caller
from rig.own_catalog import SERVICE, OwnCatalog
from rig.server import CoherdServer

VERSIONS = ("v1", "v1alpha")
BUILT_IN = "coherd.domains.analytics.v1.AnalyticsCache"
NOT_FOUND = grpc.StatusCode.NOT_FOUND.value[0]


class Face(NamedTuple):
    """A server that was only started with a catalog."""

    server: CoherdServer
    caller: Caller


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """Serving an own catalog beside the built-in one."""
    catalog = OwnCatalog(tmp_path_factory.mktemp("catalog"))
    with CoherdServer("--catalog", str(catalog.file)) as server, Caller(server.target) as caller:
        yield Face(server, caller)


def ask(
    face: Face, requests: Sequence[reflection.ServerReflectionRequest], version: str = "v1"
) -> list[reflection.ServerReflectionResponse]:
    """The answers to some queries on one stream."""
    stream = face.caller.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection.ServerReflectionRequest.SerializeToString,
        reflection.ServerReflectionResponse.FromString,
    )
    return list(stream(iter(requests), timeout=60))


def files(answer: reflection.ServerReflectionResponse) -> dict[str, FileDescriptorProto]:
    """The files of an answer, the one asked for first."""
    assert answer.HasField("file_descriptor_response"), answer
    found = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    return {file.name: file for file in found}


def by_symbol(symbol: str) -> reflection.ServerReflectionRequest:
    """A query for the file of a symbol."""
    return reflection.ServerReflectionRequest(file_containing_symbol=symbol)


@pytest.mark.parametrize("version", VERSIONS)
def test_services(face: Face, version: str) -> None:
    [answer] = ask(face, [reflection.ServerReflectionRequest(host="h", list_services="")], version)
    names = [service.name for service in answer.list_services_response.service]
    assert names == sorted(names)
    expected = {"coherd.v1.CacheService", "coherd.v1.SessionService", BUILT_IN, SERVICE, "grpc.health.v1.Health"}
    assert expected | {f"grpc.reflection.{version}.ServerReflection" for version in VERSIONS} <= set(names)
    assert sum(name.startswith("coherd.domains.") for name in names) == 8
    assert (answer.valid_host, answer.original_request.host) == ("h", "h")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_listed_service_can_be_described(face: Face, version: str) -> None:
    """With all its imports, in one answer."""
    [listed] = ask(face, [reflection.ServerReflectionRequest(list_services="")], version)
    names = [service_response.name for service_response in listed.list_services_response.service]
    for name, answer in zip(names, ask(face, [by_symbol(name) for name in names], version), strict=True):
        found = files(answer)
        first = next(iter(found.values()))
        assert name in [f"{first.package}.{service.name}" for service in first.service]
        for file in found.values():
            assert set(file.dependency) <= set(found)


@pytest.mark.parametrize("version", VERSIONS)
def test_comments_come_along(face: Face, version: str) -> None:
    own, built_in = (files(one) for one in ask(face, [by_symbol(SERVICE), by_symbol(BUILT_IN)], version))
    comments = Comments(next(iter(own.values())))
    assert comments.of((6, 0)) == "Everything a catalog can say."
    assert comments.of((6, 0, 2, 0)) == "Looked up by every kind of identifier."
    assert comments.of((4, 0, 2, 0)) == "Whose it is."
    comments = Comments(next(iter(built_in.values())))
    assert comments.of((6, 0)) == "Analytics that change hourly."
    assert comments.of((6, 0, 2, 0)) == "One user's analytics for one day."


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("kinds.v1.KindsCache.Mixed", "kinds/v1/kinds.proto"),
        ("kinds.v1.Report", "kinds/v1/kinds.proto"),
        (".kinds.v1.Report.count", "kinds/v1/kinds.proto"),
        ("kinds.v1.Colour", "kinds/v1/kinds.proto"),
        ("kinds.v1.COLOUR_RED", "kinds/v1/kinds.proto"),
        ("coherd.v1.CacheService.BatchGet", "coherd/v1/cache_service.proto"),
        ("coherd.v1.Key", "coherd/v1/keys.proto"),
        ("coherd.v1.domain", "coherd/v1/annotations.proto"),
        ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
        ("google.rpc.ErrorInfo", "google/rpc/error_details.proto"),
    ],
)
def test_symbols(face: Face, symbol: str, file: str) -> None:
    [answer] = ask(face, [by_symbol(symbol)])
    assert next(iter(files(answer))) == file


def test_by_file_name_and_extension(face: Face) -> None:
    request = reflection.ServerReflectionRequest
    options = "google.protobuf.ServiceOptions"
    by_name, by_extension, numbers = ask(
        face,
        [
            request(file_by_filename="kinds/v1/kinds.proto"),
            request(file_containing_extension={"containing_type": options, "extension_number": 50811}),
            request(all_extension_numbers_of_type=options),
        ],
    )
    assert "kinds/v1/kinds.proto" in files(by_name)
    assert "coherd/v1/annotations.proto" in files(by_extension)
    assert 50811 in numbers.all_extension_numbers_response.extension_number


def test_what_is_not_there_is_an_answer_and_the_stream_goes_on(face: Face) -> None:
    request = reflection.ServerReflectionRequest
    queries = [
        by_symbol("nowhere.Nothing"),
        by_symbol(""),
        request(file_by_filename="nothing.proto"),
        request(file_containing_extension={"containing_type": "x.Y", "extension_number": 1}),
        request(all_extension_numbers_of_type="x.Y"),
        request(),
        by_symbol(SERVICE),
    ]
    *missing, empty, good = ask(face, queries)
    assert {answer.error_response.error_code for answer in missing} == {NOT_FOUND}
    assert empty.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert files(good)


@pytest.mark.parametrize("version", VERSIONS)
def test_bytes_that_are_no_query(face: Face, version: str) -> None:
    stream = face.caller.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
    with pytest.raises(grpc.RpcError) as caught:
        list(stream(iter([b"\xff\xff\xff"]), timeout=60))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def buf_curl(face: Face, *args: str) -> subprocess.CompletedProcess[str]:
    """`buf curl`, which learns the types by reflection."""
    buf = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")
    assert buf is not None, "buf-bin brings it"
    url, *flags = args
    command = [
        buf,
        "curl",
        "--protocol",
        "grpc",
        "--http2-prior-knowledge",
        *flags,
        f"http://{face.server.target}{url}",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd="/")


def test_buf_curl_calls_methods_of_a_catalog_it_never_saw(face: Face) -> None:
    face.caller.set("kinds:plain:id:x", Json(text='{"a": 1}').SerializeToString())
    done = buf_curl(face, f"/{SERVICE}/Plain", "-d", '{"id": "x"}')
    assert done.returncode == 0, done.stderr
    assert json.loads(json.loads(done.stdout)["text"]) == {"a": 1}
    done = buf_curl(face, f"/{SERVICE}/Plain", "-d", '{"id": "y"}')
    assert done.returncode != 0
    error = json.loads(done.stderr)
    assert error["code"] == "not_found"
    [detail] = error["details"]
    assert detail["type"] == "google.rpc.ErrorInfo"
    info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(detail["value"] + "=="))
    assert (info.reason, info.domain) == ("NOT_CACHED", "coherd")
    listed = buf_curl(face, "", "--list-methods")
    assert f"{SERVICE}/Mixed" in listed.stdout
    assert f"{BUILT_IN}/Daily" in listed.stdout


def test_buf_curl_calls_the_service(face: Face) -> None:
    body = '{"key": {"text": "kinds:plain:id:z"}, "value": "aGVsbG8=", "ttl_ms": "5000"}'
    done = buf_curl(face, "/coherd.v1.CacheService/Set", "-d", body)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"outcome": "SET_OUTCOME_STORED", "ttlMs": "5000"}
    assert face.caller.value("kinds:plain:id:z") == b"hello"
