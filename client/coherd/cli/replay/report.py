"""What a replay showed, as a table for people and as JSON for machines. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from coherd.cli.output import counted
from coherd.cli.replay.session import Report, Way, counts_of
from coherd.cli.replay.statistics import Quantiles


def report_table(report: Report, title: str, source: str = "trace") -> Table:
    """Counts of the client beside what follows from the trace and what the server counted."""
    outcome = report.outcome
    table = Table(box=box.SIMPLE_HEAD, title=Text(title, "bold"), title_justify="left")
    table.add_column("")
    table.add_column("client", justify="right", no_wrap=True)
    table.add_column(f"from the {source}", justify="right", no_wrap=True)
    table.add_column("server", justify="right", no_wrap=True)
    table.add_column("")

    wanted, server = report.expected, report.server
    reads = server.hits + server.misses
    table.add_row("requests", f"{outcome.requests:,}", f"{wanted.requests:,}" if wanted else "-", f"{reads:,}")
    table.add_row("hits", f"{outcome.hits:,}", f"{wanted.hits:,}" if wanted else "-", f"{server.hits:,}")
    table.add_row("misses", f"{outcome.misses:,}", f"{wanted.distinct:,}" if wanted else "-", f"{server.misses:,}")
    table.add_row(
        Text("hit ratio", "bold"),
        Text(f"{outcome.hit_ratio:.4%}", "bold"),
        f"{wanted.hit_ratio:.4%}" if wanted else "-",
        f"{server.hits / reads:.4%}" if reads else "-",
        _verdict(report),
    )
    if server.near_hits:
        table.add_row("of them near", "", "", f"{server.near_hits:,}")
    table.add_row("loads", f"{outcome.loads:,}", f"{wanted.distinct:,}" if wanted else "-", f"{server.sets:,} sets")
    table.add_section()
    table.add_row("time", f"{outcome.elapsed_s:.2f} s")
    table.add_row("requests/s", f"{outcome.requests_per_s:,.0f}")
    for label, latencies in (("get", outcome.gets), ("whole request", outcome.whole)):
        quantiles = latencies.quantiles()
        table.add_row(f"{label} p50 / p99", f"{latency_text(quantiles.p50_ms)} / {latency_text(quantiles.p99_ms)}")
    errors = ", ".join(f"{count:,} {name}" for name, count in outcome.errors.most_common()) or "0"
    table.add_row("errors", Text(errors, "" if errors == "0" else "bold red"))
    if outcome.wrong_values:
        table.add_row("wrong values", Text(f"{outcome.wrong_values:,}", "bold red"))
    kept = f"kept under {report.namespace}" if report.removed is None else f"{report.removed:,} removed"
    table.add_row("entries", kept)
    return table


def side_by_side(reports: Mapping[Way, Report], title: str) -> Table:
    """The same load over several ways, the first as the measure."""
    table = Table(box=box.SIMPLE_HEAD, title=Text(title, "bold"), title_justify="left")
    table.add_column("")
    for way in reports:
        table.add_column(way.value, justify="right", no_wrap=True)

    def row(label: str, cell: Callable[[Report], str | Text]) -> None:
        table.add_row(label, *map(cell, reports.values()))

    row("requests", lambda report: f"{report.outcome.requests:,}")
    row("hit ratio", lambda report: f"{report.outcome.hit_ratio:.4%}")
    row("near hits, as the server was told", lambda report: f"{report.server.near_hits:,}")
    row("loads", lambda report: f"{report.outcome.loads:,}")
    row("trace and server", _verdict)
    table.add_section()
    row("requests/s", lambda report: f"{report.outcome.requests_per_s:,.0f}")
    row("get p50 / p99", lambda report: _pair(report.outcome.gets.quantiles()))
    row("whole request p50 / p99", lambda report: _pair(report.outcome.whole.quantiles()))
    row("errors", lambda report: f"{report.outcome.errors.total():,}")
    return table


def _pair(quantiles: Quantiles) -> str:
    return f"{latency_text(quantiles.p50_ms)} / {latency_text(quantiles.p99_ms)}"


def latency_text(time_ms: float) -> str:
    """A latency with its unit: a hit of the near cache takes microseconds."""
    return f"{time_ms:.2f} ms" if time_ms >= 1 else f"{time_ms * 1_000:.1f} µs"


def report_json(report: Report) -> dict[str, Any]:
    """A report for machines."""
    outcome = report.outcome
    wanted = report.expected
    return {
        "passed": report.passed,
        "requests": outcome.requests,
        "hits": outcome.hits,
        "misses": outcome.misses,
        "hit_ratio": outcome.hit_ratio,
        "loads": outcome.loads,
        "sets": outcome.sets,
        "errors": dict(outcome.errors),
        "wrong_values": outcome.wrong_values,
        "elapsed_s": outcome.elapsed_s,
        "requests_per_s": outcome.requests_per_s,
        "get_latency": _quantiles(outcome.gets.quantiles()),
        "request_latency": _quantiles(outcome.whole.quantiles()),
        "expected": wanted
        and {
            "requests": wanted.requests,
            "distinct": wanted.distinct,
            "hits": wanted.hits,
            "hit_ratio": wanted.hit_ratio,
            "agrees": report.as_expected,
        },
        "server": {**report.server._asdict(), "agrees": report.server_agrees},
        "namespace": report.namespace,
        "removed": report.removed,
    }


def disagreements(report: Report, source: str = "trace") -> list[str]:
    """Why a report did not pass, one line each; empty if it did."""
    outcome = report.outcome
    reasons: list[str] = []
    if outcome.errors:
        reasons.append(f"{counted(outcome.errors.total(), 'request')} failed")
    if outcome.wrong_values:
        reasons.append(f"{counted(outcome.wrong_values, 'hit')} returned another object's value")
    if report.as_expected is False and report.expected is not None:
        reasons.append(
            f"hits {outcome.hits:,} and misses {outcome.misses:,} differ from {report.expected.hits:,} and "
            f"{report.expected.distinct:,} that follow from the {source} (evictions, a short TTL, or an invalidation)"
        )
    if not report.server_agrees:
        wanted = counts_of(outcome)
        reasons.append(
            f"the server counted {report.server.hits:,} hits, {report.server.misses:,} misses, {report.server.sets:,} "
            f"sets, the client {wanted.hits:,}, {wanted.misses:,}, {wanted.sets:,} (did somebody else use the domain?)"
        )
    return reasons


def _verdict(report: Report) -> Text:
    if not report.server_agrees or report.as_expected is False:
        return Text("differs", "bold red")
    return Text("agrees", "green") if report.as_expected else Text("server agrees (maybe warm)", "green")


def _quantiles(quantiles: Quantiles) -> dict[str, float]:
    return quantiles._asdict()
