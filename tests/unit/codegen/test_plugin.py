"""What the plugin answers to requests that are wrong, and to protoc's protocol."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from coherd.codegen.plugin import generate
from rig.protos import HEAD, compile_text

DOMAIN = 'option (coherd.v1.domain) = { name: "shop" ttl: {seconds: 60} tags: "user" };'
JSON = "returns (coherd.v1.Json) {}"


def request(
    directory: Path, text: str, *, name: str = "t.proto", parameter: str = "facade", head: str = HEAD
) -> CodeGeneratorRequest:
    """As protoc asks for one file with this text."""
    compiled = FileDescriptorSet.FromString(compile_text(directory, head + text, name=name))
    return CodeGeneratorRequest(file_to_generate=[name], parameter=parameter, proto_file=compiled.file)


def service(rpcs: str, key: str = "string user = 1;") -> str:
    """A domain with these rpcs."""
    return f"service S {{ {DOMAIN} {rpcs} }} message K {{ {key} }} message L {{}}"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            service(f"rpc MoodTrends(K) {JSON} rpc moodTrends(L) {JSON}"),
            "t.proto: service S: resource 'mood_trends' is declared twice",
        ),
        (
            service(
                f"rpc mood_trends(K) {JSON} rpc MoodTrends(K) returns (coherd.v1.Json) {{"
                ' option (coherd.v1.resource) = {name: "other"}; }'
            ),
            "class MoodTrends would be generated for resource shop:mood_trends and for resource shop:other; rename one",
        ),
        (
            'option (coherd.v1.invalidation) = { name: "user" summary: "s" tags: "shop/user" };'
            + service(f"rpc User(K) {JSON}"),
            "class User would be generated for resource shop:user and for invalidation user; rename one",
        ),
        (service("rpc A(K) returns (None) {} ") + "message None {}", "Python cannot name the type None; rename it"),
        (
            service("rpc A(K) returns (Box.True) {} ") + "message Box { message True {} }",
            "cannot name the type Box.True",
        ),
        (service(f"rpc A(K) {JSON}", "repeated string user = 1;"), "t.proto: K.user: an identifier is a plain field"),
    ],
)
def test_declarations_that_python_cannot_name_are_refused(tmp_path: Path, text: str, error: str) -> None:
    response = generate(request(tmp_path, text))
    assert error in response.error
    assert not response.file


@pytest.mark.parametrize("name", ["_", "_1", "_9lives"])
def test_an_rpc_that_no_class_can_be_named_after_is_refused(tmp_path: Path, name: str) -> None:
    text = service(f"rpc {name}(K) returns (coherd.v1.Json) {{ option (coherd.v1.resource) = {{name: 'lives'}}; }}")
    error = f"t.proto: shop:lives: Python cannot name a class after {name}; rename it"
    assert generate(request(tmp_path, text)).error == error


@pytest.mark.parametrize(("name", "kind"), [("class", "parameter"), ("count", "property")])
def test_two_identifiers_with_one_name_in_python_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    # proto3 refuses such fields itself, for the sake of their JSON names.
    fields = f"optional string {name} = 1; optional string {name}_ = 2 [json_name = 'c']; optional string user = 3;"
    asked = request(tmp_path, service(f"rpc A(K) {JSON}", fields), head=HEAD.replace("proto3", "proto2"))
    error = f"{kind} {name}_ would be generated for identifier {name!r} and for identifier '{name}_'; rename one"
    assert error in generate(asked).error


def test_a_path_that_python_cannot_import_is_refused(tmp_path: Path) -> None:
    for value in ("V", "coherd.v1.Json"):
        text = service(f"rpc A(K) returns ({value}) {{}} ") + "message V {}"
        asked = request(tmp_path, text, name="a/class/t.proto")
        assert generate(asked).error == "a/class/t.proto: 'class' in its path cannot be imported by Python; rename it"


def test_two_files_with_one_facade_are_refused(tmp_path: Path) -> None:
    one = request(tmp_path, service(f"rpc A(K) {JSON}"), name="shop/v1/shop.proto")
    other = request(
        tmp_path,
        service(f"rpc A(K) {JSON}")
        .replace('"shop"', '"shop2"')
        .replace("service S", "service T")
        .replace(" K", " M")
        .replace("(K", "(M")
        .replace("message L", "message N"),
        name="shop/v2/shop.proto",
    )
    one.file_to_generate.extend(other.file_to_generate)
    one.proto_file.append(other.proto_file[-1])
    assert "shop/__init__.py is also the facade of shop/v1/shop.proto" in generate(one).error
    one.parameter = ""
    assert [file.name for file in generate(one).file] == ["shop/v1/shop_coherd.py", "shop/v2/shop_coherd.py"]


@pytest.mark.parametrize("path", ["shop.proto", "shop/shop.proto", "shop/v1/other.proto", "shop/one/shop.proto"])
def test_only_a_file_in_a_folder_of_its_name_and_version_has_a_facade(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    asked = request(tmp_path, service(f"rpc A(K) {JSON}"), name=path)
    capsys.readouterr()
    assert [file.name for file in generate(asked).file] == [path.replace(".proto", "_coherd.py")]
    assert capsys.readouterr().err == f"{path}: no facade: only a path like shop/v1/shop.proto has one\n"
    asked.parameter = ""
    generate(asked)
    assert capsys.readouterr().err == ""


def test_a_dash_in_a_file_name_is_written_as_protoc_does(tmp_path: Path) -> None:
    response = generate(request(tmp_path, service(f"rpc A(K) {JSON}"), name="my-shop/v1/my-shop.proto"))
    assert [file.name for file in response.file] == ["my_shop/v1/my_shop_coherd.py", "my_shop/__init__.py"]
    assert "from my_shop.v1.my_shop_coherd import A" in response.file[1].content


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    response = generate(request(tmp_path, service(f"rpc A(K) {JSON}"), parameter="facade,facades"))
    assert response.error == "unknown option 'facades'; there is: facade"


def test_imported_domains_are_not_generated(tmp_path: Path) -> None:
    asked = request(tmp_path, service(f"rpc A(K) {JSON}"))
    asked.file_to_generate[:] = ["coherd/v1/values.proto"]
    assert not generate(asked).file


def test_the_plugin_speaks_protocs_protocol(tmp_path: Path) -> None:
    asked = request(tmp_path, service(f"rpc A(K) {JSON}")).SerializeToString()
    code = f"import sys; sys.path[:0] = {sys.path!r}; from coherd.codegen.plugin import main; main()"
    answers = {
        subprocess.run([sys.executable, "-c", code], input=asked, capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(answers) == 1, "the output is deterministic"
    response = CodeGeneratorResponse.FromString(answers.pop())
    features = CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL | CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS
    assert response.supported_features == features
    assert [file.name for file in response.file] == ["t_coherd.py"]
