"""What a run has seen, as a table and as a picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

PAGE, CHART = "testing.md", "bench.png"
START, END = "<!-- bench -->\n", "<!-- /bench -->\n"
RED, INK, PAPER = "#d1495b", "#1f2328", "#f6f8fa"
COLORS = ("#2a6fbb", "#d98c2b", "#ecc78f")


def head(result: Json) -> Iterator[str]:
    """Return what the figures were measured on."""
    machine, settings = result["machine"], result["settings"]
    yield (
        f"{machine['date']}: Python {machine['python']}, {machine['cores']} cores, load average"
        f" {machine['load_average']:.1f} at the start."
    )
    yield (
        f"PostgreSQL {machine['postgresql']} has fsync={machine['fsync']} and"
        f" synchronous_commit={machine['synchronous_commit']}, so the disk is not measured."
        f" SQLite {machine['sqlite']} has synchronous=FULL, so it is."
    )
    yield (
        f"{settings['connections']} connections ({settings['generator']}), medians of rounds of"
        f" {settings['seconds']:g} s, in turn: {settings['rounds']}."
    )


def table(result: Json, baseline: Json | None, database: str) -> Iterator[str]:
    """Return the lines of the table; with a baseline, the ratios that it had stand at the end."""
    heads = f"{'requests/s':>11}{'median ms':>11}{'p99 ms':>9}{'not 2xx':>9}"
    yield f"\n{database:<34}{heads}   ours in percent of it (of the rounds)"
    for name, row in result["databases"][database].items():
        for server, seen in row.items():
            line = (
                f"{name:<21}{server:<13}{seen['requests_per_second']:11,.0f}"
                f"{seen['median_ms']:11.2f}{seen['p99_ms']:9.2f}{seen['failures']:9}"
            )
            if server != "ours":
                ratio = row["ours"]["percent_of"][server]
                line += (
                    f"   {ratio['median']:.1f} % ({ratio['lowest']:.1f} to {ratio['highest']:.1f})"
                )
                before = earlier(baseline, database, name, server)
                line += f"   before: {before:.1f} %" if before else ""
            yield line


def earlier(baseline: Json | None, database: str, name: str, server: str) -> float | None:
    """Return the ratio of ours that a baseline has, if it has it."""
    if baseline is None:
        return None
    row = baseline["databases"].get(database, {}).get(name, {})
    ratio: float | None = row["ours"]["percent_of"][server]["median"] if server in row else None
    return ratio


def remarks(result: Json) -> Iterator[str]:
    """Return what else was measured, a line each."""
    yield ""
    for name, row in result["workers"].items():
        ratio = row["two"]["percent_of"]["one"]
        yield (
            f"Two processes to one, {name}: {ratio['median']:.0f} %"
            f" ({ratio['lowest']:.0f} to {ratio['highest']:.0f})"
        )
    for name, sizes in result["memory_mib"].items():
        yield f"Resident memory, {name}: {' + '.join(f'{size:.0f}' for size in sizes)} MiB"
    start = result["start_seconds"]
    yield f"From the command to ready, with a new SQLite database: {start['median']:.2f} s"
    yield writers(result)


def writers(result: Json) -> str:
    seen = result["sqlite_writers"]
    answers = ", ".join(f"{count} times {status}" for status, count in seen["statuses"].items())
    return (
        f"{seen['connections']} clients that order at once on SQLite:"
        f" {seen['requests_per_second']:,.0f} requests/s, p99 {seen['p99_ms']:.0f} ms ({answers})"
    )


def publish(result: Json, folder: Path) -> None:
    """Put the table and the chart into the page, in the place of those that it has."""
    page = folder / PAGE
    before, _, rest = page.read_text("utf-8").partition(START)
    _, _, after = rest.partition(END)
    lines = "\n".join(markdown(result))
    page.write_text(f"{before}{START}\n{lines}\n\n{END}{after}", "utf-8")
    draw(result, None, folder / CHART)


def markdown(result: Json) -> Iterator[str]:
    """Return the chart, the table, and what they were measured on."""
    yield f"![Requests per second, in percent of the limit]({CHART})\n"
    names = list(next(iter(result["databases"].values())))
    yield f"| Requests per second | {' | '.join(names)} |"
    yield "|---" + "|--:" * len(names) + "|"
    for database, rows in result["databases"].items():
        servers = list(rows[names[0]])
        for server in servers:
            rates = [
                f"{rows[name][server]['requests_per_second']:,.0f}" if server in rows[name] else "-"
                for name in names
            ]
            yield f"| {database}, {server} | {' | '.join(rates)} |"
        for other in servers[1:]:
            ratios = [rows[name]["ours"]["percent_of"].get(other) for name in names]
            shown = [f"{ratio['median']:.0f} %" if ratio else "-" for ratio in ratios]
            yield f"| {database}, ours in percent of {other} | {' | '.join(shown)} |"
    yield ""
    yield from head(result)
    if "sqlite_writers" in result:
        yield f"\n{writers(result)}."


def draw(result: Json, baseline: Json | None, path: Path) -> None:
    """Draw how near to the limit each operation comes, on paper of its own: some pages are dark."""
    from matplotlib.figure import Figure  # takes half a second, which few have use for

    databases = result["databases"]
    figure = Figure(figsize=(9, 3.6 * len(databases)), layout="constrained", facecolor=PAPER)
    subplots = figure.subplots(len(databases), sharex=True, squeeze=False)[:, 0]
    right = 100.0
    for axes, (database, rows) in zip(subplots, databases.items(), strict=True):
        servers = [name for name in next(iter(rows.values())) if name != "limit"]
        height = 0.8 / len(servers)
        for n, (server, color) in enumerate(zip(servers, COLORS, strict=False)):
            seen = [(place, name) for place, name in enumerate(rows) if server in rows[name]]
            places = [place + (n - (len(servers) - 1) / 2) * height for place, _ in seen]
            ratios = [rows[name][server]["percent_of"]["limit"]["median"] for _, name in seen]
            axes.barh(places, ratios, height * 0.9, color=color, label=server)
            for place, ratio, (_, name) in zip(places, ratios, seen, strict=True):
                row = rows[name]
                label = f"{ratio:.0f} %, {row[server]['requests_per_second']:,.0f}/s"
                before = earlier(baseline, database, name, "limit") if server == "ours" else None
                if before:
                    marks = [place - height / 2, place + height / 2]
                    axes.plot([before, before], marks, color=RED, lw=2)
                    label += f" (before {before:.0f} %)"
                axes.text(max(ratio, before or 0) + 1.5, place, label, va="center", color=INK)
                right = max(right, ratio, before or 0)
        axes.axvline(100, color=INK, lw=1)
        axes.set_yticks(
            range(len(rows)),
            [
                f"{name}\nlimit {row['limit']['requests_per_second']:,.0f}/s"
                for name, row in rows.items()
            ],
        )
        axes.invert_yaxis()
        axes.set_xlim(0, right * 1.2)
        axes.set_facecolor(PAPER)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(f"{database}, one process, in percent of the limit", loc="left", color=INK)
        if len(servers) > 1:
            axes.legend(loc="lower right", frameon=False)
    machine, settings = result["machine"], result["settings"]
    figure.supxlabel(
        f"Python {machine['python']}, PostgreSQL {machine['postgresql']}, SQLite"
        f" {machine['sqlite']}, {machine['cores']} cores, {settings['connections']} connections,"
        f" medians of rounds of {settings['seconds']:g} s: {settings['rounds']}",
        fontsize="small",
        color=INK,
    )
    figure.savefig(path, dpi=100)
