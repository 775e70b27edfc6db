"""Runs migrations on the database of `DATABASE_URL`, each run in one transaction under a lock."""

import logging
import time
from enum import Enum
from logging.config import fileConfig
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.ddl.sqlite import SQLiteImpl
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.util import CommandError
from sqlmodel import AutoString, UTCDateTime

from orders_api.models import Model
from orders_api.settings import Settings, without_event_loop
from orders_api.storage.citus import distribute, has_citus
from orders_api.storage.pooler import set_up_connection
from orders_api.storage.sqlite import remove_leftovers
from orders_api.storage.trigrams import restore_trigram_indexes

log = logging.getLogger("alembic.env")

# Importing the models fills the metadata.
METADATA = Model.metadata

# Any number that this application alone uses for an advisory lock.
LOCK = 4_242_001

# Requests that need a table queue behind a migration that waits for it. So it gives up before they
# do (DATABASE_TIMEOUT), lets them pass for as long, and waits anew.
SECONDS = 1
ATTEMPTS = 30
NOT_NOW = {"55P03", "40P01"}  # lock_not_available, deadlock_detected


def run_online() -> None:
    where = url()
    if where.get_backend_name() == "postgresql" and "connect_timeout" not in where.query:
        where = where.update_query_dict({"connect_timeout": "10"})  # seconds; the default is 130
    engine = sa.create_engine(where, poolclass=sa.NullPool)
    if engine.dialect.name == "sqlite":
        remove_leftovers(where.database)
        sa.event.listen(engine, "connect", leave_foreign_keys_alone)
        sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    if engine.dialect.name == "postgresql":
        sa.event.listen(engine, "connect", set_up_connection)
        sa.event.listen(engine, "begin", take_turn)
        # A stricter default would show those who wait for the lock the schema before it.
        engine = engine.execution_options(isolation_level="READ COMMITTED")
    for attempt in range(ATTEMPTS):
        if attempt:
            log.warning("Another transaction holds a table: attempt %s follows", attempt + 1)
            time.sleep(SECONDS)
        try:
            with engine.connect() as connection:
                run(connection)
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in NOT_NOW:
                raise
        else:
            return
    raise CommandError(
        "Nothing was changed, because another transaction has held a table all the time: end it"
        " (`SELECT * FROM pg_stat_activity ORDER BY xact_start`), and migrate again."
    )


def url() -> sa.URL:
    found: sa.URL = context.config.attributes.get("url") or Settings().url
    return without_event_loop(found)


def leave_foreign_keys_alone(connection: Any, _: Any) -> None:
    """Keep children alive when a batch migration replaces their parent's table.

    To alter a table SQLite needs a new one, and dropping the old one under enforced foreign
    keys deletes or blocks the rows that refer to it (sqlite.org/lang_altertable.html, 7).
    """
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 60000")
    connection.execute("PRAGMA foreign_keys = OFF")


def take_turn(connection: sa.Connection) -> None:
    """Wait for other migrations, then for no table long; anew after an `autocommit_block`."""
    if connection.get_isolation_level() != "AUTOCOMMIT":  # in which each statement is on its own
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{SECONDS}s'")


def run(connection: sa.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        compare_server_default=compare_server_default,
        include_name=include_name,
        on_version_apply=check_references,  # type: ignore[arg-type]  # called by keyword
        process_revision_directives=complete_revision,
        render_as_batch=True,
        render_item=render_item,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        has_revision = context.get_context().get_current_heads()
        if not (context.config.attributes.get("only_if_empty") and has_revision):
            # `current`, `check` and `revision` go to no revision: they only look.
            is_change = "destination_rev" in context.get_context().opts
            if is_change and is_on_citus(connection):
                distribute(connection, ((name, column_of(name)) for name in METADATA.tables))
            context.run_migrations()
            if is_change and connection.dialect.name == "sqlite":
                restore_trigram_indexes(connection)


class KeepAutoincrement(SQLiteImpl):
    """Makes a batch migration's new table never reuse a number, if the old one did not."""

    __dialect__ = "sqlite"  # what makes Alembic use it

    def create_table(self, table: sa.Table, **options: Any) -> None:
        query = sa.text("SELECT sql LIKE '%AUTOINCREMENT%' FROM sqlite_master WHERE name = :name")
        name = table.name.removeprefix("_alembic_tmp_")
        connection = self.connection  # none, or a mock one, when SQL is only printed
        if isinstance(connection, sa.Connection) and connection.scalar(query, {"name": name}):
            table.dialect_options["sqlite"]["autoincrement"] = True
        super().create_table(table, **options)


class DistributeNewTables(PostgresqlImpl):
    """Distributes a table that a migration creates on Citus, before its foreign keys are made."""

    __dialect__ = "postgresql"  # what makes Alembic use it

    def create_table(self, table: sa.Table, **options: Any) -> None:
        connection = self.connection  # none, or a mock one, when SQL is only printed
        if not isinstance(connection, sa.Connection) or not is_on_citus(connection):
            super().create_table(table, **options)
            return
        foreign_keys = list(table.foreign_key_constraints)
        for foreign_key in foreign_keys:
            foreign_key.use_alter = True  # which leaves it out
        super().create_table(table, **options)
        distribute(connection, [(table.name, column_of(table.name))])
        for foreign_key in foreign_keys:
            self.add_constraint(foreign_key)


def is_on_citus(connection: sa.Connection) -> bool:
    return connection.dialect.name == "postgresql" and has_citus(connection)


def column_of(table: str) -> str | None:
    """Return the column by which a model's table is to be divided on Citus."""
    found = METADATA.tables.get(table)
    return None if found is None else found.info.get("distribute_by")


def check_references(ctx: MigrationContext, step: MigrationInfo, **_: Any) -> None:
    """Refuse what SQLite let pass while foreign keys were off: rows that refer to nothing."""
    if ctx.connection is None or ctx.dialect.name != "sqlite":
        return
    broken = ctx.connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        references = sorted({f"{table} to {parent}" for table, _, parent, _ in broken})
        raise CommandError(
            f"Migration {step.up_revision_id} is rolled back, because it would leave rows that"
            f" refer to nothing: from {', from '.join(references)}."
        )


def run_offline() -> None:
    """Print the SQL instead of running it (`alembic upgrade head --sql`)."""
    context.configure(
        url=url(),
        target_metadata=METADATA,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def complete_revision(_: Any, __: Any, scripts: list[ops.MigrationScript]) -> None:
    upgrade = scripts[0].upgrade_ops_list[0]
    fill_new_columns(upgrade)
    warn_of_renames(upgrade)


def fill_new_columns(upgrade: ops.UpgradeOps) -> None:
    """Give the rows that are there the model's default in a new column that must not be null.

    Warn of one without a default, or with one that a function makes.
    """
    for table in upgrade.ops:
        changes = getattr(table, "ops", [])
        for change in tuple(changes):
            if not isinstance(change, ops.AddColumnOp) or change.column.nullable:
                continue
            default = change.column.default
            if isinstance(default, sa.ColumnDefault) and default.is_scalar:
                value = default.arg.value if isinstance(default.arg, Enum) else default.arg
                # Both databases read '1' as true, and '1.50' as a number where one is due.
                text = str(int(value) if isinstance(value, bool) else value)
                change.column.server_default = sa.DefaultClause(text)
            elif change.column.server_default is None:
                name = f"{change.table_name}.{change.column.name}"
                warn(changes, f"Rows that are there have no value for {name}: see CONTRIBUTING.md.")


class Comment(ops.MigrateOperation):
    """A line of a revision that does nothing."""

    def __init__(self, text: str) -> None:
        self.text = text


@renderers.dispatch_for(Comment)
def render_comment(_: AutogenContext, comment: Comment) -> str:
    return f"# {comment.text}"


def warn(changes: list[ops.MigrateOperation], text: str) -> None:
    """Say something in the log, and in the revision itself."""
    changes.insert(0, Comment(text))
    log.warning(text)


def warn_of_renames(upgrade: ops.UpgradeOps) -> None:
    """Warn where something is dropped and its like added: the models cannot tell a rename."""
    for container in (upgrade, *upgrade.ops):
        dropped, added = [], []
        changes = getattr(container, "ops", [])
        for change in changes:
            match change:
                case ops.DropTableOp():
                    dropped.append(change.table_name)
                case ops.CreateTableOp():
                    added.append(change.table_name)
                case ops.DropColumnOp():
                    dropped.append(f"{change.table_name}.{change.column_name}")
                case ops.AddColumnOp():
                    added.append(f"{change.table_name}.{change.column.name}")
        if dropped and added:
            what = f"Drops {', '.join(dropped)} with all data and adds {', '.join(added)}"
            warn(changes, f"{what}: if this is a rename, see CONTRIBUTING.md.")


def compare_server_default(*args: Any) -> bool | None:
    """Accept a default that the database alone has, for `fill_new_columns` leaves it there."""
    metadata_default = args[4]
    return False if metadata_default is None else None


def include_name(name: str | None, kind: str, _: Any) -> bool:
    """Leave the trigram indexes alone: no model has them, for not every database can.

    They are indexes on PostgreSQL, and tables on SQLite.
    """
    return kind not in {"index", "table"} or "_trgm" not in str(name)


def render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Write plain SQLAlchemy types, which need no import of SQLModel."""
    if kind == "type" and isinstance(item, AutoString):
        return repr(item.impl_instance).replace("String", "sa.String")
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    return False


if context.config.config_file_name:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
if context.is_offline_mode():
    run_offline()
else:
    run_online()
