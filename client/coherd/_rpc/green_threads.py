"""gevent and eventlet replace Python's threads and sockets. Neither gRPC nor asyncio's event loops work with those."""

from __future__ import annotations

import sys
from typing import Final

_NEEDED: Final = ("socket", "select", "threading", "_thread")
_ADVICE: Final = (
    "Coherd needs real ones. Use threads or processes instead (gunicorn: --worker-class gthread; Celery: --pool "
    "threads or prefork), or leave thread, socket and select out of what is patched"
)


def check_threads() -> None:
    """Nothing where Python's threads and sockets are its own.

    Raises:
        RuntimeError: gevent or eventlet has replaced them in this process.
    """
    for name in ("gevent", "eventlet"):
        if replaced := [module for module in _NEEDED if _is_replaced(name, module)]:
            raise RuntimeError(f"{name} has replaced {', '.join(replaced)} in this process: {_ADVICE}")


def _is_replaced(name: str, module: str) -> bool:
    """Asked of what is imported already: where it is not, nothing was replaced."""
    if name == "gevent":
        monkey = sys.modules.get("gevent.monkey")
        return monkey is not None and bool(monkey.is_module_patched(module))
    patcher = sys.modules.get("eventlet.patcher")
    word = "thread" if module in ("threading", "_thread") else module
    return patcher is not None and bool(patcher.is_monkey_patched(word))
