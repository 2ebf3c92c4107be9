"""Plain Celery tasks that use the blocking client and the familiar names."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from celery import Celery

from coherd.compat.sync import unified_cache_service
from coherd.domains import analytics
from coherd.sync import CacheClient

broker = Path(os.environ.get("BROKER_FOLDER") or Path(tempfile.gettempdir()) / "coherd-example-broker")
broker.mkdir(exist_ok=True)
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), str(broker))
app.conf.task_ignore_result = True

# Made before the worker forks its children: each of them connects for itself, with its first call.
cache = CacheClient.connect(os.environ.get("COHERD_TARGET", "localhost:50051"))


def count_words(key: analytics.WritingStats) -> dict[str, int]:
    """Stands for a query that is worth caching. It runs in the task's own thread, with its database session."""
    return {"words": 27 * key.days}


@app.task
def writing_stats(user_id: str, days: int) -> None:
    """Counted once, however many workers are asked at once."""
    stats = cache.get_or_load(analytics.WritingStats(user=user_id, days=days), count_words)
    print(f"{user_id} wrote {stats['words']} words in {days} days")


@app.task
def forget(user_id: str) -> None:
    """The same service under its familiar name."""
    print(f"invalidated: {', '.join(unified_cache_service.invalidate_user_cache(user_id))}")
