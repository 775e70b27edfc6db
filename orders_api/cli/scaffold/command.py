"""The command `orders-api scaffold`."""

from typing import Annotated

import typer

from orders_api.cli.common import fail


def scaffold(
    name: Annotated[str, typer.Argument(help="The collection, such as reviews.")],
    members: Annotated[
        list[str] | None, typer.Argument(help="Such as rating:int:1..5 and productId:products.")
    ] = None,
    unique: Annotated[
        list[str] | None,
        typer.Option(help="A member that is unique, or several together: productId,text."),
    ] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="Members to filter the list by.")
    ] = None,
    sort: Annotated[list[str] | None, typer.Option(help="Members to sort the list by.")] = None,
    singular: Annotated[
        str | None, typer.Option(help="One of them, where it is not the name without its s.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take back what was written, if it was not changed.")
    ] = False,
) -> None:
    """Write a new resource: model, endpoints, migration, tests and documentation.

    A member is `name:type`. Types are text, longtext, email, url, currency, int, int:1..5, money,
    decimal(2), bool, datetime, choices (`'new|published'`) and the name of another resource. A `?`
    at the end makes it optional. Put quotes around what has `|`, `(` or `?`.
    """
    from orders_api.cli.scaffold import report
    from orders_api.cli.scaffold.addition import add
    from orders_api.cli.scaffold.checkout import check_checkout, copy_of_checkout, diff, write_all
    from orders_api.cli.scaffold.members import ScaffoldError
    from orders_api.cli.scaffold.removal import remove_resource
    from orders_api.cli.scaffold.resource import existing_paths, parse_resource

    options = [f"--unique={text}" for text in unique or ()]
    options += [f"--filter={text}" for text in filters or ()]
    options += [f"--sort={text}" for text in sort or ()]
    options += [f"--singular={singular}"] * (singular is not None)
    if remove and (members or options):
        fail("--remove takes no more than a name.")
    try:
        check_checkout()
        if remove:
            with copy_of_checkout() as copy:
                changes = remove_resource(copy, name)
            lines = [*report.removed(changes)]
        else:
            resource = parse_resource(
                name,
                members or (),
                existing_paths(),
                unique=unique or (),
                filters=filters or (),
                sorts=sort or (),
                singular=singular,
            )
            with copy_of_checkout() as copy:
                changes = add(copy, resource, [name, *(members or ()), *options])
            lines = [*report.added(resource, changes)]
        if dry_run:
            lines = diff(changes).splitlines()
        else:
            write_all(changes)
    except ScaffoldError as error:
        fail(str(error))
    typer.echo("\n".join(lines))
