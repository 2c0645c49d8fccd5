"""The benchmark's tables and its curve of streams against the picture's age."""

from pathlib import Path
from typing import Any

from stream.errors import ConfigError


def streams_table(rows: list[dict[str, Any]]) -> str:
    """A line for each number of streams, and why those that were not held were not."""
    head = "streams", "analysed fps", "age p50 ms", "age p95 ms", "alert s", "cores", "cores a stream"
    lines = [_row(*head, "frames a core-s", "MiB", "held"), _rule(len(head) + 3)]
    for row in rows:
        verdict = "yes" if row["held"] else "NO: " + "; ".join(row["why_not"])
        lines.append(
            _row(
                row["streams"],
                row["analysed_fps"],
                _number(row["age_p50_ms"], 1),
                _number(row["age_p95_ms"], 1),
                _number(row["alert_delay_s"], 1),
                f"{row['cores_used']:.2f}",
                f"{row['cores_per_stream']:.3f}",
                row["frames_per_core_second"],
                _number(row["memory_mib"], 0),
                verdict,
            )
        )
    if rows:
        lines += ["", stages_table(rows[-1]["stages"], f"stages at {rows[-1]['streams']} streams, ms")]
        lines += ["", _energy(rows[-1])]
    return "\n".join(lines)


def stages_table(stages: dict[str, dict[str, float]], title: str) -> str:
    """A line for each stage."""
    lines = [_row(title, "runs", "p50", "p95"), _rule(4)]
    lines += [_row(name, s["runs"], s["p50_ms"], s["p95_ms"]) for name, s in stages.items()]
    return "\n".join(lines)


def rivals_table(rows: list[dict[str, Any]]) -> str:
    """A line for each pipeline, in the order in which one thing after the other was switched on."""
    lines = [_row("pipeline", "frames", "ms a frame", "frames a second", "faster than (a)", "than (b)")]
    lines.append(_rule(6))
    for row in rows:
        ratios = (row["vs_torch"], row["vs_naive_onnx"])
        told = ["–" if ratio is None else f"{ratio:.1f}x" for ratio in ratios]
        lines.append(_row(row["label"], row["frames"], f"{row['ms']:.2f}", f"{1000 / row['ms']:.1f}", *told))
    return "\n".join(lines)


def batches_table(rows: list[dict[str, Any]]) -> str:
    """The batch-size curve of each network."""
    lines = [_row("network", "batch", "ms a run", "ms an item", "items a second", "CPU ms an item"), _rule(6)]
    lines += [
        _row(r["network"], r["batch"], r["run_ms"], r["item_ms"], r["items_per_s"], r["item_cpu_ms"])
        for r in rows
    ]
    return "\n".join(lines)


def need_matplotlib() -> None:
    """Raise ConfigError where no curve can be drawn: before the run, not after it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError(
            "--plot needs matplotlib, which is not installed: pip install 'facewitness[train]'"
        ) from None


def plot(rows: list[dict[str, Any]], path: Path, title: str) -> None:
    """Draw streams against the age's p50 and p95, with the limit that counts as held."""
    from matplotlib.figure import Figure

    from stream.bench_streams import AGE

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    rows = [row for row in rows if row["age_p95_ms"] is not None]
    for clip in dict.fromkeys(row["clip"] for row in rows):
        own = [row for row in rows if row["clip"] == clip]
        counts = [row["streams"] for row in own]
        (line,) = axes.plot(counts, [row["age_p95_ms"] for row in own], "o-", label=f"{clip}: worst p95")
        p50 = [row["age_p50_ms"] for row in own]
        axes.plot(counts, p50, "s:", color=line.get_color(), label=f"{clip}: p50")
    axes.axhline(AGE, color="grey", linestyle="--", label=f"limit, {AGE:.0f} ms")
    for row in rows:
        if not row["held"]:
            axes.annotate(
                "not held", (row["streams"], row["age_p95_ms"]), xytext=(4, 4), textcoords="offset points"
            )
    axes.set(xlabel="streams", ylabel="age at the overlay, ms", title=title, yscale="log")
    for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        ticks("{x:g}")
    axes.set_xticks(sorted({row["streams"] for row in rows}))
    axes.legend()
    figure.savefig(path, dpi=120)


def _energy(row: dict[str, Any]) -> str:
    gpu = row["gpu"]
    told = (
        f"GPU: {gpu['load_percent']:.0f} % busy, {gpu['memory_mib']:.0f} MiB, {gpu['joules']:.0f} J"
        if gpu
        else "GPU: nvidia-smi is not there or tells nothing"
    )
    joules = row["joules_cpu"]
    return f"{told}. Processor: " + (f"{joules:.0f} J" if joules is not None else row["joules_cpu_note"])


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _rule(columns: int) -> str:
    return "|" + " --- |" * columns
