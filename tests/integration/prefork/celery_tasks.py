"""Tasks of a Celery worker: plain functions, and clients made and used at import, before the fork."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from coherd import OpenKey
from coherd.compat.sync import redis_service, unified_cache_service
from coherd.domains import content
from coherd.sync import CacheClient

app = Celery("celery_tasks", broker=os.environ["BROKER_URL"])
app.conf.task_ignore_result = True
cache = CacheClient.connect(os.environ["COHERD_TARGET"], timeout_ms=60_000)

if "IN_WORKER" in os.environ:
    unified_cache_service.set_component_status({"pid": os.getpid()}, "the worker's parent")
    cache.get(content.Topics(user="nobody"))


@app.task
def familiar(task_id: str) -> None:
    """Uses the familiar names."""
    parent = unified_cache_service.get_component_status("the worker's parent")
    redis_service.set(f"session:data:id:{task_id}", {"pid": os.getpid(), "ppid": os.getppid(), "parent": parent})


@app.task
def load(shared: str, task_id: str) -> None:
    """Loads what another task loads at the same time."""

    def slowly(_: object) -> int:
        time.sleep(0.5)
        return os.getpid()

    loaded_by: Any = cache.get_or_load(OpenKey("content", "drafts", {"shared": shared}), slowly)
    cache.set(OpenKey("content", "drafts", {"task": task_id}), {"pid": os.getpid(), "loaded_by": loaded_by})


@app.task(soft_time_limit=1)
def limited(shared: str, task_id: str) -> None:
    """Waits for what somebody else loads, and is interrupted by its time limit."""
    began_s = time.monotonic()
    try:
        answer = cache.get_or_load(OpenKey("content", "drafts", {"shared": shared}), lambda _: "loaded here")
    except SoftTimeLimitExceeded:
        answer = "interrupted"
    took_s = time.monotonic() - began_s
    cache.set(OpenKey("content", "drafts", {"task": task_id}), {"answer": answer, "took_s": took_s})
