"""Tables on a Citus cluster, which is PostgreSQL on several nodes.

A table whose `info` has `distribute_by` is divided among the nodes by that column; each node has
the others whole. All else is as on PostgreSQL.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, text

HAS_CITUS = text("SELECT FROM pg_extension WHERE extname = 'citus'")

# Citus also lists local tables that refer to those that each node has whole.
IS_LOCAL = text(
    "SELECT FROM pg_class WHERE oid = to_regclass(:table) AND oid NOT IN"
    " (SELECT logicalrelid FROM pg_dist_partition WHERE colocationid <> 0)"
)
FOREIGN_KEYS = text(
    "SELECT conrelid::regclass, quote_ident(conname), pg_get_constraintdef(oid)"
    " FROM pg_constraint WHERE contype = 'f' AND (conrelid = ANY(CAST(:tables AS regclass[]))"
    " OR confrelid = ANY(CAST(:tables AS regclass[])))"
)


def has_citus(connection: Connection) -> bool:
    return connection.execute(HAS_CITUS).first() is not None


def distribute(connection: Connection, columns: Iterable[tuple[str, str | None]]) -> None:
    """Distribute those of the tables that are there and are not distributed yet.

    With each comes the column to divide it by; None if each node is to have it whole.
    """
    # One connection to each node does it all, as in parallel they would not see each other's.
    connection.execute(text("SET LOCAL citus.multi_shard_modify_mode = 'sequential'"))
    local = {
        table: column
        for table, column in columns
        if connection.execute(IS_LOCAL, {"table": table}).first() is not None
    }
    # Citus takes no foreign key between two tables of which one is not distributed yet.
    foreign_keys = connection.execute(FOREIGN_KEYS, {"tables": list(local)}).all()
    for table, name, _ in foreign_keys:
        connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
    for table, column in local.items():
        if column:
            create = "SELECT create_distributed_table(:table, :column)"
        else:
            create = "SELECT create_reference_table(:table)"
        connection.execute(text(create), {"table": table, "column": column})
    for table, name, definition in foreign_keys:
        connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"))
