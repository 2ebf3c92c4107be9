"""A real nginx on loopback, in one process, with the settings of docs/operate/proxies.md."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coherd_server.redis.embedded import ending_with_parent
from rig.ports import release_port, reserve_port
from rig.waiting import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "proxies.md"


def nginx_binary() -> str | None:
    """The system's nginx, where there is one; also in the places of root's programs."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def documented() -> str:
    """The settings that the page shows."""
    [block] = re.findall(r"```nginx\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(block)


class Nginx:
    """A running nginx: where it listens, and what it has logged."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self.target = f"127.0.0.1:{port}"

    def errors(self) -> str:
        return (self._directory / "error.log").read_text("utf-8", "replace")

    def streams(self) -> list[str]:
        """The calls that have ended: their paths, as they ended."""
        return (self._directory / "access.log").read_text("utf-8").splitlines()


@contextmanager
def nginx(directory: Path, target: str, *, settings: str) -> Iterator[Nginx]:
    """nginx before a server; ``settings`` as documented, where the addresses are put in."""
    binary = nginx_binary()
    assert binary is not None, "no nginx: apt-get install nginx-light"
    port = reserve_port()
    settings = settings.replace("127.0.0.1:50051", target).replace("127.0.0.1:8443", f"127.0.0.1:{port}")
    paths = "".join(
        f"    {kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log info;\n"
        "events {}\n"
        f"http {{\n    log_format paths '$uri';\n    access_log {directory}/access.log paths;\n{paths}{settings}}}\n"
    )
    command = ending_with_parent([binary, "-p", str(directory), "-e", f"{directory}/error.log", "-c", str(config)])
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        made = Nginx(directory, port)
        wait_until("nginx has begun", lambda: (directory / "pid").exists() and process.poll() is None)
        yield made
    finally:
        process.terminate()
        process.wait(60)
        release_port(port)
