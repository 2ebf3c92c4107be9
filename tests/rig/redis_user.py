"""The Redis user of docs/operate/security.md: what the tests' shared installations let Coherd do, and nothing else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rig.process import Node

_PAGE: Final = Path(__file__).parents[2] / "docs" / "operate" / "security.md"
LOGIN: Final = "coherd:secret@"
"""For URLs."""


def rules(prefix: str) -> list[str]:
    """Those of the page for a deployment with this key prefix."""
    [command] = re.findall(r"^redis-cli ACL SETUSER coherd (.*?)\n```", _PAGE.read_text("utf-8"), re.M | re.S)
    found = shlex.split(command.replace("\\\n", " "))
    assert {">password", "~app:*"} <= set(found), "the page names another password or prefix"
    return [{">password": ">secret", "~app:*": f"~{prefix}*"}.get(rule, rule) for rule in found]


def let_in(nodes: Iterable[Node], prefix: str = "") -> None:
    """Make the user on every node that stores."""
    for node in nodes:
        node.client().execute_command("ACL", "SETUSER", "coherd", *rules(prefix))


def refused(node: Node) -> list[str]:
    """What the node has refused the user: kind and object of each refusal."""
    found = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in node.client().execute_command("ACL", "LOG")]
    return [f"{one[b'reason'].decode()}: {one[b'object'].decode()}" for one in found if one[b"username"] == b"coherd"]


def sentinel_rules() -> list[str]:
    """What the page grants the user of the sentinels."""
    [found] = re.findall(r"`sentinel_username`\) needs `(.*?)`", " ".join(_PAGE.read_text("utf-8").split()))
    rules: list[str] = found.split()
    return rules
