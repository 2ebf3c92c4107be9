"""``docs/use/key-vectors.json``: what a key grammar in another language must write, read and refuse.

The texts come from the grammar's own code; tests hold the file against the examples of the specification.
"""

from __future__ import annotations

import json
from typing import Any, Final

from coherd.catalog.catalog import Catalog
from coherd.contract import keys
from coherd.contract.reasons import Refusal, reason_name

_ABOUT: Final = (
    "keys: parts <-> text, both ways. typed: values of a declared resource -> text. refused_texts: no canonical key; "
    "reason as in ErrorInfo. refused_parts: cannot become a key. Text is UTF-8; a lone surrogate is refused everywhere."
)
_LONG: Final = "x" * 492
"""Makes ``content:topics:user:…`` exactly `keys.MAX_KEY_BYTES` long."""

_VALUES: Final = (
    "user123",
    "0",
    "a:b",
    "%",
    "%3A",
    "100%",
    "*",
    "a?b[c]d{e}f",
    "back\\slash",
    "two words",
    " ",
    "\t\r\n",
    "\x00",
    "\x7f",
    "\x85",
    "\xa0",
    "-",
    "mañana",
    "日本語",
    "👩‍🚀",
    "é",
    "é",
    "user:evil:days:30d",
    "{tag}",
    "true",
    '"quoted"',
    "a/b=c&d+e,f;g@h|i~j`k^l<m>n#o!p$q'r(s)",
)
_TYPED: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("analytics", "daily", {"user": "user123", "date": "20250806"}),
    ("analytics", "mood_trends", {"user": "user123", "range": "30d"}),
    ("analytics", "writing_stats", {"user": "user123", "days": 30}),
    ("analytics", "writing_stats", {"user": "user123", "days": 0}),
    ("analytics", "writing_stats", {"user": "user123", "days": 4294967295}),
    ("analytics", "content_engagement", {"content": "content456"}),
    ("psychology", "profile", {"user": "user123"}),
    ("psychology", "content_analysis", {"content": "content456"}),
    ("psychology", "insights", {"user": "user123", "type": "emotional"}),
    ("crisis", "assessment", {"hash": "abc12345"}),
    ("crisis", "user_risk", {"user": "user123"}),
    ("crisis", "trends", {"timeframe": "7d"}),
    ("maintenance", "system_health", {}),
    ("maintenance", "component_status", {"component": "database"}),
    ("maintenance", "performance_metrics", {}),
    ("maintenance", "cleanup_report", {"date": "20240229"}),
    ("session", "data", {"id": "session789"}),
    ("session", "activity", {"user": "user123"}),
    ("ai_model", "instance", {"name": "bert", "version": "latest"}),
    ("ai_model", "prompt", {"hash": "xyz789", "model": "gpt4"}),
    ("content", "topics", {"user": "user123"}),
    ("celery", "task_metrics", {"id": "task123"}),
    ("celery", "worker_status", {"name": "worker1"}),
)
_REFUSED_TEXTS: Final = (
    "",
    "analytics",
    ":",
    "analytics:",
    ":daily",
    "Analytics:daily",
    "analytics:9daily",
    "analytics:daily:user:",
    "analytics:daily:user:a:user:b",
    "analytics:daily:User:a:date:20250806",
    "analytics:daily:date:20250806:user:user123",
    "analytics:daily:user:user123",
    "analytics:daily:user:user123:date:20250230",
    "analytics:daily:user:user123:date:2025-08-06",
    "analytics:writing_stats:user:user123:days:030d",
    "analytics:writing_stats:user:user123:days:30",
    "analytics:writing_stats:user:user123:days:+30d",
    "analytics:writing_stats:user:user123:days:-0d",
    "analytics:writing_stats:user:user123:days:4294967296d",
    "analytics:writing_stats:user:user123:days:\u0663\u0660d",
    "content:topics:user:%3a",
    "content:topics:user:%41",
    "content:topics:user:%",
    "content:topics:user:%G0",
    "content:topics:user:%C3",
    "content:topics:user:%C3%A9",
    "content:topics:user:%ED%A0%80",
    "content:topics:user:%C0%80",
    "content:topics:user:a b",
    "content:topics:user:{a}",
    "content:topics:user:a*",
    "content:topics:user:a\n",
    "content:topics:user:\x80",
    f"content:topics:user:{_LONG}x",
    "nowhere:topics:user:a",
)
_REFUSED_VALUES: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("content", "topics", {"user": ""}),
    ("content", "topics", {}),
    ("content", "topics", {"user": "a", "extra": "b"}),
    ("content", "topics", {"usr": "a"}),
    ("content", "topics", {"user": 5}),
    ("content", "topics", {"user": None}),
    ("content", "topics", {"user": _LONG + "x"}),
    ("content", "topics", {"user": "*" * 200}),
    ("analytics", "writing_stats", {"user": "a", "days": True}),
    ("analytics", "writing_stats", {"user": "a", "days": -1}),
    ("analytics", "writing_stats", {"user": "a", "days": 1.5}),
    ("analytics", "daily", {"user": "a", "date": "20250229"}),
    ("analytics", "daily", {"user": "a", "date": "2025080"}),
)


def key_vectors(catalog: Catalog) -> str:
    """Text of the file, for the built-in catalog.

    Raises:
        AssertionError: something that must be refused is not.
    """
    plain = [_key("content", "topics", (("user", value),), None) for value in (*_VALUES, _LONG)]
    plain += [
        _key("content", "drafts", (("b", "1"), ("a", "2")), None),
        _key("content", "drafts", (("a", "2"), ("b", "1")), None),
        _key("content", "drafts", (), "list"),
        _key("content", "drafts", (("user", "a"),), "x:y"),
        _key("content", "drafts", (), None),
    ]
    document = {
        "about": _ABOUT,
        "max_key_bytes": keys.MAX_KEY_BYTES,
        "keys": plain,
        "typed": [
            {"domain": domain, "resource": resource, "values": values, "text": catalog.build(domain, resource, values)}
            for domain, resource, values in _TYPED
        ],
        "refused_texts": [{"text": text, **_refusal(catalog, text)} for text in _REFUSED_TEXTS],
        "refused_parts": [
            {
                "domain": domain,
                "resource": resource,
                "values": values,
                **_refused_parts(catalog, domain, resource, values),
            }
            for domain, resource, values in _REFUSED_VALUES
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _key(domain: str, resource: str, identifiers: tuple[tuple[str, str], ...], suffix: str | None) -> dict[str, object]:
    return {
        "domain": domain,
        "resource": resource,
        "identifiers": [{"name": name, "value": value} for name, value in identifiers],
        "suffix": suffix,
        "text": keys.build_key(domain, resource, identifiers, suffix),
    }


def _refusal(catalog: Catalog, text: str) -> dict[str, str]:
    try:
        catalog.resolve(text)
    except Refusal as refusal:
        return {"reason": reason_name(refusal.reason), "because": str(refusal)}
    raise AssertionError(f"not refused: {text!r}")


def _refused_parts(catalog: Catalog, domain: str, resource: str, values: dict[str, Any]) -> dict[str, str]:
    try:
        catalog.build(domain, resource, values)
    except Refusal as refusal:
        return {"reason": reason_name(refusal.reason), "because": str(refusal)}
    raise AssertionError(f"not refused: {domain}:{resource} {values!r}")
