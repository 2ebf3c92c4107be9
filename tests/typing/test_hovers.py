"""What an editor shows of the blocking client: pyright's language server answers with parameters and docstring."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CLIENT = Path(__file__).parents[2] / "client"
VERBS = (
    *("get", "get_entry", "get_many", "get_or_load", "get_or_load_many", "cached"),
    *("set", "set_nothing", "set_many", "touch", "delete", "invalidate", "metrics", "describe_catalog"),
)
MODULE = f"""
from coherd import sync
from coherd.compat.sync import RedisService, UnifiedCacheService

cache = sync.CacheClient.connect("localhost:1")
{chr(10).join(f"cache.{verb}" for verb in VERBS)}
UnifiedCacheService().get_analytics_daily
RedisService().set
"""


class LanguageServer:
    """Pyright's language server for one module, whose text it is given.

    Args:
        root: of the workspace; an empty directory.
        text: of the module.
    """

    def __init__(self, root: Path, text: str) -> None:
        self._text = text
        self._document = {"uri": (root / "module.py").as_uri()}
        self._asked = 0
        settings = {"extraPaths": [str(CLIENT)], "pythonVersion": "3.11"}
        (root / "pyrightconfig.json").write_text(json.dumps(settings))
        command = [str(Path(sys.executable).with_name("pyright-langserver")), "--stdio"]
        self.process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        folder = {"uri": root.as_uri(), "name": "workspace"}
        markdown = {"textDocument": {"hover": {"contentFormat": ["plaintext"]}}}
        self.ask(
            "initialize",
            {"processId": None, "rootUri": root.as_uri(), "workspaceFolders": [folder], "capabilities": markdown},
        )
        self._tell({"method": "initialized", "params": {}})
        opened = {**self._document, "languageId": "python", "version": 1, "text": text}
        self._tell({"method": "textDocument/didOpen", "params": {"textDocument": opened}})

    def hover(self, expression: str) -> str:
        """What is shown over the last character of a line, which the expression begins."""
        at = self._text.index(f"\n{expression}\n")
        place = {"line": self._text[: at + 1].count("\n"), "character": len(expression) - 1}
        answer = self.ask("textDocument/hover", {"textDocument": self._document, "position": place})
        return str(answer["contents"]["value"])

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        """The result of a request; the server's own requests are answered meanwhile."""
        self._asked += 1
        self._tell({"id": self._asked, "method": method, "params": params})
        while True:
            message = self._next()
            if "method" in message and "id" in message:
                items = message["params"]["items"] if message["method"] == "workspace/configuration" else []
                self._tell({"id": message["id"], "result": [{} for _ in items] or None})
            elif message.get("id") == self._asked:
                assert "error" not in message, message
                return message["result"]

    def _tell(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.process.stdin.flush()

    def _next(self) -> Any:
        stream = self.process.stdout
        assert stream is not None
        size = 0
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        assert size, "the language server ended"
        return json.loads(stream.read(size))


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    server = LanguageServer(tmp_path_factory.mktemp("workspace"), MODULE)
    yield server
    server.process.kill()
    server.process.communicate()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_shown_with_its_parameters_and_docstring(server: LanguageServer, verb: str) -> None:
    shown = server.hover(f"cache.{verb}")
    assert "timeout_ms: int | None = None" in shown
    assert "self" not in shown.partition("\n\n")[0]
    assert not {"await", "Coroutine", "Awaitable", "*args", "**kwargs"} & set(shown.replace("(", " ").split()), shown
    first_line = {
        "get": "The value; default for a miss",
        "set": "Stores a value and states that it is current now.",
        "get_or_load": "The cached value; where there is none, what the loader returns",
        "delete": "Removes one entry; whether one was stored",
    }
    assert first_line.get(verb, "") in shown.replace("`", "")
    assert len(shown.splitlines()) > 3


@pytest.mark.timeout(300)
def test_overloads_and_type_variables_are_shown(server: LanguageServer) -> None:
    assert "key: Key[V@set]" in server.hover("cache.set")
    overloads = server.hover("cache.get")
    assert "-> (V@get | None)" in overloads
    assert "-> (V@get | D@get | None)" in overloads


@pytest.mark.timeout(300)
def test_familiar_names_are_shown_likewise(server: LanguageServer) -> None:
    shown = server.hover("UnifiedCacheService().get_analytics_daily")
    assert "date: DateLike | None = None" in shown
    assert "One user's analytics for one day" in shown
    assert "-> bool" in server.hover("RedisService().set")
