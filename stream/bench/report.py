"""The benchmark's tables and its curve of streams against the picture's age."""

from pathlib import Path
from typing import Any

from stream.bench.rivals import NOTHING
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


def ladder_table(found: dict[str, Any]) -> str:
    """A line for each rung from (a) up to ours; what each one gave, and all of them together."""
    lines = [_row("rung", "what it adds", "ms a frame", "frames a second", "times", "times (a)"), _rule(6)]
    for rung in (*found["ladder"], found["default_model"]):
        apart = rung is found["default_model"]
        adds = "the same with the product's detector, apart" if apart else rung["adds"]
        factors = ["–" if apart else f"{rung['times']:.2f}", f"{rung['times_since_a']:.2f}"]
        lines.append(_row(rung["name"], adds, f"{rung['ms']:.2f}", f"{rung['fps']:.1f}", *factors))
    product = " × ".join(f"{rung['times']:.2f}" for rung in found["ladder"][1:])
    lines += ["", f"{product} = {found['speedup_vs_torch_pipeline']:.1f}, by {found['compared']}"]
    rounds = ", ".join(f"{each:.1f}" for each in found["rounds"])
    lines.append(f"in each round: {rounds}")
    if found["gave_nothing"]:
        lines.append(f"gave nothing here (under {NOTHING:g} times): {', '.join(found['gave_nothing'])}")
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
    """Draw streams against the age's p50 and p95, and the limit; what was not held is hollow."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    from stream.bench.streams import AGE

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    rows = [row for row in rows if row["age_p95_ms"] is not None]
    for number, clip in enumerate(dict.fromkeys(row["clip"] for row in rows)):
        own, colour = [row for row in rows if row["clip"] == clip], f"C{number}"
        for key, line, word in (("age_p95_ms", "-", "p95 of the worst stream"), ("age_p50_ms", ":", "p50")):
            axes.plot([r["streams"] for r in own], [r[key] for r in own], line, color=colour)
            axes.plot([], [], line, color=colour, marker="o", label=f"{clip}: {word}")
            for r in own:
                fill = colour if r["held"] else "white"
                axes.plot(r["streams"], r[key], "o", color=colour, markerfacecolor=fill)
    axes.axhline(AGE, color="grey", linestyle="--", label=f"limit, {AGE:.0f} ms")
    if not all(row["held"] for row in rows):
        axes.plot([], [], "o", color="black", markerfacecolor="white", label="not held")
    axes.set(xlabel="streams", ylabel="age at the overlay, ms", title=title, xscale="log", yscale="log")
    counts = sorted({row["streams"] for row in rows})
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
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
