"""A WSGI application as gunicorn preloads it: its client is made and used at import, before the workers are forked."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from coherd import OpenKey
from coherd.sync import CacheClient

cache = CacheClient.connect(os.environ["COHERD_TARGET"], timeout_ms=10_000)
PARENT = OpenKey("content", "drafts", {"parent": str(os.getpid())})
cache.set(PARENT, os.getpid())


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """``/name`` answers who served, which process's import it saw, and what is cached under the name."""
    key = OpenKey("content", "drafts", {"page": environ["PATH_INFO"].strip("/")})
    thread = threading.current_thread()
    value = cache.get_or_load(key, lambda _: [os.getpid(), threading.current_thread() is thread])
    body = json.dumps({"pid": os.getpid(), "parent": cache.get(PARENT), "value": value}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
