"""What a run has seen, as a table and as a picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def table(result: Json, baseline: Json | None) -> Iterator[str]:
    """Return the lines of the table; with a baseline, the ratios that it had stand at the end."""
    yield f"{'':<20}{'requests/s':^18}{'ours/limit':^26}{'median ms':^18}{'p99 ms':^18}  not 2xx"
    yield f"{'':<20}{'ours':>9}{'limit':>9}{'':26}" + f"{'ours':>9}{'limit':>9}" * 2
    for name, row in result["operations"].items():
        ours, limit, ratio = row["ours"], row["limit"], row["ratio"]
        percent = f"{ratio['percent']:.1f} % ({ratio['lowest']:.1f} to {ratio['highest']:.1f})"
        line = (
            f"{name:<20}{ours['requests_per_second']:9,.0f}{limit['requests_per_second']:9,.0f}"
            f"{percent:>24}  {ours['median_ms']:9.2f}{limit['median_ms']:9.2f}"
            f"{ours['p99_ms']:9.2f}{limit['p99_ms']:9.2f}{ours['failures'] + limit['failures']:9}"
        )
        before = baseline and baseline["operations"].get(name)
        yield line + (f"   before: {before['ratio']['percent']:.1f} %" if before else "")


def remarks(result: Json) -> Iterator[str]:
    """Return what else was measured, a line each."""
    for name, row in result["workers"].items():
        ratio = row["ratio"]
        yield (
            f"Two processes to one, {name}: {ratio['percent']:.0f} %"
            f" ({ratio['lowest']:.0f} to {ratio['highest']:.0f})"
        )
    for name, sizes in result["memory_mib"].items():
        yield f"Resident memory, {name}: {' + '.join(f'{size:.0f}' for size in sizes)} MiB"
    start = result["start_seconds"]
    yield f"From the command to ready, with a new SQLite database: {start['median']:.2f} s"
    sqlite = result["sqlite_writers"]
    answers = ", ".join(f"{count} times {status}" for status, count in sqlite["statuses"].items())
    yield (
        f"{sqlite['connections']} clients that order at once on SQLite: {answers}"
        f" ({sqlite['requests_per_second']:,.0f} requests/s, p99 {sqlite['p99_ms']:.0f} ms)"
    )


def draw(result: Json, baseline: Json | None, path: Path) -> None:
    """Draw how near to the limit each operation comes."""
    from matplotlib.figure import Figure  # takes half a second, which few have use for

    operations = result["operations"]
    figure = Figure(figsize=(9, 1.2 + 0.75 * len(operations)), layout="constrained")
    axes = figure.subplots()
    ratios = [row["ratio"]["percent"] for row in operations.values()]
    names = [
        f"{name}\n{row['ours']['requests_per_second']:,.0f} of"
        f" {row['limit']['requests_per_second']:,.0f} requests/s"
        for name, row in operations.items()
    ]
    axes.barh(names, ratios, height=0.55, color="#2a6fbb")
    for position, (name, ratio) in enumerate(zip(operations, ratios, strict=True)):
        label, end = f"{ratio:.0f} %", ratio
        if baseline and name in baseline["operations"]:
            before = baseline["operations"][name]["ratio"]["percent"]
            axes.plot([before, before], [position - 0.38, position + 0.38], color="#d1495b", lw=2)
            label, end = f"{label} (before {before:.0f} %)", max(ratio, before)
        axes.text(end + 1.5, position, label, va="center")
    axes.axvline(100, color="black", lw=1)
    axes.invert_yaxis()
    axes.set_xlim(0, max(100, *ratios) * 1.1)
    axes.spines[["top", "right"]].set_visible(False)
    machine, settings = result["machine"], result["settings"]
    title = "Requests per second of one process, in percent of the limit written by hand"
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(
        f"Python {machine['python']}, PostgreSQL {machine['postgresql']}, {machine['cores']} cores,"
        f" {settings['connections']} connections, median of {settings['rounds']} rounds of"
        f" {settings['seconds']:g} s"
    )
    figure.savefig(path, dpi=150)
