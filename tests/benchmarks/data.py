"""Keys and values: the same in every run and for every contender."""

from __future__ import annotations

from typing import Any, Final

import orjson

from coherd.domains.ai_model import Prompt
from coherd.domains.analytics import Daily

VALUE_BYTES: Final = 512
"""Length of the JSON text of the value."""
TTL_MS: Final = 3_600_000
KEYS_PER_USER: Final = 10


def daily(index: int) -> Daily:
    """``analytics:daily:user:u0000012:date:20250803``: four tags, ten days per user."""
    return Daily(user=f"u{index // KEYS_PER_USER:07}", date=f"202508{index % KEYS_PER_USER + 1:02}")


def prompt(index: int) -> Prompt:
    """``ai_model:prompt:hash:…:model:gpt4``: two tags, both shared by all."""
    return Prompt(hash=f"{index:032x}", model="gpt4")


def document() -> dict[str, Any]:
    """A day's statistics that take `VALUE_BYTES` as JSON."""
    value: dict[str, Any] = {
        "words": 812,
        "sessions": [{"start": f"2025-08-06T{hour:02}:15:00Z", "minutes": 25, "words": 203} for hour in range(6)],
        "mood": {"valence": 0.61, "arousal": 0.34},
        "note": "",
    }
    value["note"] = "n" * (VALUE_BYTES - len(orjson.dumps(value)))
    return value
