"""How many live streams one process holds: the runner once for each number of streams, and a verdict."""

import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from stream.bench.apart import ask
from stream.bench.clips import FPS, make_clip
from stream.bench.edges import edges
from stream.bench.gauges import Gauges
from stream.bench.runner import GOVERNED, Plan
from stream.bench.serve import served
from stream.governor import Rules

AGE = 150.0  # ms, p95 at the overlay
ALERT = 2.0  # s from the swap to the alert
KEPT = 0.95  # of the frames that are to be analysed
START = 120.0  # s beyond the measured ones that a run may take: engines, readers


def measure(plan: Plan, counts: Sequence[int], live: bool = True) -> list[dict[str, Any]]:
    """One row for each number of streams of the plan's clip; live, or of frames decoded beforehand.

    Raises BenchError.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.ts")
        make_clip(path, plan.clip)
        apart = edges(path)
        for count in counts:
            with ExitStack() as stack:
                if live:
                    addresses, server = stack.enter_context(served(str(path), count, plan.clip.seconds))
                    now, gauges = replace(plan, addresses=tuple(addresses)), Gauges(server)
                else:
                    now, gauges = replace(plan, decoded=count, path=str(path)), None
                limit = plan.seconds + GOVERNED + START * (10 if plan.provider == "tensorrt" else 1)
                told = ask("stream.bench.runner", [now.to_json()], limit)
                sending = gauges.finish() if gauges else None
            rows.append(row_of(now, count, told, sending))
            rows[-1]["stages"] |= apart
    return rows


def row_of(plan: Plan, count: int, told: dict[str, Any], sending: dict[str, Any] | None) -> dict[str, Any]:
    """What a run says of all its streams together, with the verdict and what it rests on."""
    streams, cost = told["streams"], told["cost"]
    analysed = sum(s["analysed"] for s in streams)
    ages = [s["ages_ms"] for s in streams]
    seen = all(ages)  # else a stream showed nothing at all
    # RAPL, the GPU's load and so on are of the whole machine, the server of the clip included.
    row = {
        "streams": count,
        "clip": plan.clip.label,
        "source": "live" if plan.addresses else "decoded frames",
        "model": told["model"],
        "provider": told["provider"],
        "seconds": plan.seconds,
        "asked_fps": Rules().least if plan.governed else plan.rate or FPS,
        "sparing": plan.sparing,
        "governed": plan.governed,
        "delivered_fps": round(sum(s["delivered"] for s in streams) / count / cost["wall_s"], 2),
        "analysed_fps": round(analysed / count / cost["wall_s"], 2),
        "dropped": sum(s["dropped"] for s in streams),
        "age_p50_ms": statistics.median(age["p50"] for age in ages) if seen else None,
        "age_p95_ms": max(age["p95"] for age in ages) if seen else None,
        "alert_delay_s": max((d for s in streams for d in s["alert_delays_s"]), default=None),
        "swaps": sum(s["swaps"] for s in streams),
        "alerts_in_time": sum(d <= ALERT for s in streams for d in s["alert_delays_s"]),
        "false_alarms": sum(s["alerts"] - len(s["alert_delays_s"]) for s in streams),
        "cores_used": cost["cores_used"],
        "cores_per_stream": round(cost["cores_used"] / count, 3),
        "frames_per_core_second": round(analysed / max(cost["cpu_s"], 1e-6), 1),
        "memory_mib": cost["memory"] and cost["memory"]["peak_mib"],
        "gpu": cost["gpu"],
        "joules_cpu": cost["joules_cpu"],
        "joules_cpu_note": cost["joules_cpu_note"],
        "server_cores": sending and sending["cores_used"],
        "stages": stages_of(streams),
        "batches": told["batches"],
        "per_stream": streams,
    }
    row["why_not"] = why_not(row)
    row["held"] = not row["why_not"]
    return row


def why_not(row: dict[str, Any]) -> list[str]:
    """What keeps a row from counting as held; empty where it is."""
    found = []
    if row["delivered_fps"] < KEPT * FPS:
        found.append(f"only {row['delivered_fps']:.1f} of {FPS} frames a second were decoded")
    if row["analysed_fps"] < KEPT * row["asked_fps"]:
        found.append(f"only {row['analysed_fps']:.1f} of {row['asked_fps']:g} frames a second were analysed")
    if row["age_p95_ms"] is None:
        found.append("a stream showed nothing")
    elif row["age_p95_ms"] > AGE:
        found.append(f"p95 of the age is {row['age_p95_ms']:.0f} ms")
    ages = [s["ages_ms"] for s in row["per_stream"] if s["ages_ms"]]
    if any(age["last_third"] > 1.5 * age["first_third"] + 10 for age in ages):
        found.append("the age grows")
    if row["alerts_in_time"] < row["swaps"]:
        found.append(f"{row['alerts_in_time']} of {row['swaps']} swaps were an alert within {ALERT:g} s")
    return found


def stages_of(streams: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Each stage over all streams: runs, the median of their p50, the worst p95, ms."""
    names = dict.fromkeys(
        name for s in streams for name in s["stages"] if name not in ("age", "none", "view")
    )
    table = {}
    for name in names:
        found = [s["stages"][name] for s in streams if name in s["stages"]]
        table[name] = {
            "runs": sum(f["runs"] for f in found),
            "p50_ms": round(statistics.median(f["p50_ms"] for f in found), 2),
            "p95_ms": max(f["p95_ms"] for f in found),
        }
    return table


def growth(rows: list[dict[str, Any]]) -> float | None:
    """The dearest stream over the cheapest, in cores a stream, less 1; of rows that are held.

    None with fewer than two of them.
    """
    costs = [row["cores_per_stream"] for row in rows if row["held"]]
    return round(max(costs) / min(costs) - 1, 3) if len(costs) > 1 and min(costs) > 0 else None


def held_at_most(rows: list[dict[str, Any]]) -> int:
    """The largest number of streams that was held; 0 where none was."""
    return max((row["streams"] for row in rows if row["held"]), default=0)
