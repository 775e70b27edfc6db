"""Commands that put data into the database, or get it out."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any, Literal

import typer

from orders_api.cli.common import STREAM, fail, format_of, open_session, opened, plural, progress

FORMAT: Any = typer.Option("--format", help="By default as the file's name ends, else jsonl.")
SKIP_BAD: Any = typer.Option("--skip-bad", help="Import the good lines, and end with 4 for others.")


def demo(
    size: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many products.")] = 100,
    seed: Annotated[int, typer.Option(help="Another number makes other data.")] = 1,
) -> None:
    """Add made-up stores, products, coupons and orders to what is there, once.

    The same size and seed make the same data, ids and dates included.
    """
    from sqlalchemy.exc import IntegrityError

    from orders_api.cli.demo import Demo

    made = Demo(size, seed)
    with open_session() as session, progress("Making", sum(made.counts.values())) as show:
        try:
            for done in made.fill(session.connection()):
                show(done)
        except IntegrityError:
            fail("Nothing is made: the database has ids or coupon codes of the demo already.")
        session.commit()
    *parts, last = [plural(n, table.__name__.lower()) for table, n in made.counts.items()]
    typer.echo(f"Made {', '.join(parts)} and {last}.")


def import_file(
    kind: Annotated[Literal["stores", "products", "coupons"], typer.Argument(help="Of what.")],
    file: Annotated[Path, typer.Argument(help="In UTF-8; - is standard input.")],
    form: Annotated[Literal["csv", "json", "jsonl"] | None, FORMAT] = None,
    skip_bad: Annotated[bool, SKIP_BAD] = False,
) -> None:
    """Import stores, products or coupons: all of the file, or nothing if a line is bad.

    The members are those of the API, and the id if it is to stay the same. A product may name its
    store as `store` in place of the `storeId`.

    In CSV the first line names the columns, and commas, semicolons or tabs stand between cells. A
    JSON array is read whole into memory, the other formats are not.
    """
    from orders_api.bulk.formats import UnreadableError, read
    from orders_api.bulk.importing import check_lines, insert_checked
    from orders_api.bulk.resources import IMPORTS

    table, model = IMPORTS[kind]
    form = form or format_of(file)
    name = "<stdin>" if file == STREAM else str(file)
    total = file.stat().st_size if file.is_file() and form != "json" else None
    good = bad = checked = 0

    def report(lines: list[Any]) -> None:
        nonlocal bad
        bad += len(lines)
        for line in lines:
            typer.echo(f"{name}:{line.number}: {line}", err=True)

    with opened(file, "rb") as source, open_session("BEGIN") as session, TemporaryFile() as rows:
        lines = read(source, form, model)
        try:
            with progress("Checking", total) as show:
                for count, bad_lines in check_lines(
                    session.connection(), table, model, lines, rows
                ):
                    checked += count
                    report(bad_lines)
                    if total:
                        show(source.tell())
        except UnreadableError as error:
            fail(f"{name} {error}.")
        session.rollback()  # or SQLite would refuse to write what follows a read of an older state
        with progress("Importing", checked) as show:
            for count, bad_lines in insert_checked(session.connection(), table, model, rows):
                good += count
                report(bad_lines)
                show(good)
        if bad and not skip_bad:
            fail(f"Nothing is imported, because of {plural(bad, 'bad line')}.")
        session.commit()
    typer.echo(f"Imported {plural(good, kind[:-1])}.")
    if bad:
        typer.echo(f"Left out {plural(bad, 'bad line')}.", err=True)
        raise typer.Exit(4)


def export_file(
    kind: Annotated[
        Literal["stores", "products", "coupons", "orders"], typer.Argument(help="Of what.")
    ],
    file: Annotated[Path, typer.Argument(help="- is standard output.")] = STREAM,
    form: Annotated[Literal["csv", "jsonl"] | None, FORMAT] = None,
) -> None:
    """Export all stores, products, coupons or orders, oldest first.

    All but orders can be imported again. An order is one line of jsonl; in CSV each of its items is
    one.
    """
    from orders_api.bulk.exporting import export
    from orders_api.bulk.resources import EXPORTS

    with open_session("BEGIN") as session:
        schema = EXPORTS[kind]
        contents = export(session.connection(), schema, form or format_of(file))
        with opened(file, "wb") as output:
            output.writelines(contents)
