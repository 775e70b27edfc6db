"""The engines, the two kinds of session, and what SQLite and PostgreSQL each need."""

import asyncio
import math
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from fastapi import Depends, Request
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    ExceptionContext,
    Integer,
    bindparam,
    delete,
    event,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import await_only, greenlet_spawn
from sqlmodel import Session, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from orders_api.conditional import check_if_match, etag
from orders_api.driver import Clause, Link, Statement, Values
from orders_api.errors import READ_ONLY, Problem, StaleConnectionError
from orders_api.paging import Keyset, Page, next_link
from orders_api.pool import UNTRIED, ConnectionPool
from orders_api.settings import Settings
from orders_api.shapes import (
    by_key,
    by_keys,
    insert_and_tell_key,
    insert_of,
    insert_together,
    loads,
    plan_of,
    rows_of,
    table_of,
    values_together,
)

_PACKAGE = Path(__file__).parent
# In a checkout migrations/ stands beside the package, in an installed wheel within it.
MIGRATIONS = next(
    p for p in (_PACKAGE / "migrations", _PACKAGE.parent / "migrations") if p.is_dir()
)

# Rows of a table that one statement inserts: every number of them is a statement that is kept.
MOST_TOGETHER = 8

Shape = TypeVar("Shape", bound=SQLModel)
Result = TypeVar("Result")
Row = TypeVar("Row", bound=SQLModel)
AfterBegin = Callable[[Link], Awaitable[None]]


# --- Engines ------------------------------------------------------------------------------


class Database:
    """Two engines on one database: readers in autocommit, writers in transactions."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.url
        self.timeout = settings.database_timeout
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._anchor: sqlite3.Connection | None = None
        self._statements: dict[Clause, Statement] = {}
        self._listings: dict[Any, tuple[Statement, list[str]]] = {}
        # PostgreSQL's own form of parameters, which the driver sends as they are.
        dialect: Any = self.url.get_dialect()
        self.dialect = dialect(paramstyle="qmark" if self.is_sqlite else "numeric_dollar")
        size = settings.database_pool_size
        if self.is_sqlite and self.url.database in {None, "", ":memory:"}:
            # It lives as long as a connection is open, so one is, whatever befalls the pool's.
            name = f"file:{uuid4()}"
            query = {"mode": "memory", "cache": "shared", "uri": "true"}
            self._anchor = sqlite3.connect(f"{name}?mode=memory&cache=shared", uri=True)
            self.url = self.url.set(database=name, query=query)
            # Connections that share a cache do not wait for each other, so there is one.
            self.writer = self.reader = self._engine(pool_size=1)
            pool = ConnectionPool(self.writer, 1, self.timeout, keep=False)
            self.to_read = self.to_write = pool
        else:
            self.reader = self._engine(
                pool_size=size, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True
            )
            self.writer = self._engine(pool_size=size)
            self.to_read = ConnectionPool(
                self.reader, size, self.timeout, close_all_idle=self.close_idle
            )
            self.to_write = ConnectionPool(
                self.writer,
                # SQLite has one writer at a time: they queue here rather than poll a lock.
                1 if self.is_sqlite else size,
                self.timeout,
                close_all_idle=self.close_idle,
            )
        if self.is_sqlite:
            event.listen(self.writer.sync_engine, "begin", _begin_immediate)

    def _engine(self, **options: Any) -> AsyncEngine:
        if self.is_sqlite:
            connect_args: dict[str, Any] = {"isolation_level": None, "timeout": self.timeout}
        else:
            # It takes a tenth of a second, which SQLite does not need.
            from orders_api.postgresql import PostgresConnection

            connect_args = {
                "application_name": "orders-api",
                "connect_timeout": math.ceil(self.timeout),
                "async_creator_fn": PostgresConnection.connect,
            }
        engine = create_async_engine(
            self.url,
            connect_args=connect_args,
            hide_parameters=True,  # no user's data in an error's text
            max_overflow=0,
            pool_pre_ping=True,  # of those that were there already
            pool_timeout=self.timeout,
            poolclass=AsyncAdaptedQueuePool,
            **options,
        )
        if self.is_sqlite:
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        else:
            event.listen(engine.sync_engine, "after_cursor_execute", _mark_tried)
            event.listen(engine.sync_engine, "handle_error", _find_stale_connection)
        return engine

    async def read(self, work: Callable[[Link], Awaitable[Result]]) -> Result:
        """Run `work`, which only reads, on a connection; again if that has broken while idle."""
        while True:
            link = await self.to_read.acquire()
            try:
                return await work(link)
            except StaleConnectionError:
                continue
            finally:
                # SQLAlchemy begins one, of which a database in autocommit knows nothing.
                await self.to_read.release(link, roll_back=link.connection.in_transaction())

    async def close_idle(self) -> None:
        """Close the connections that nobody holds: they may be broken, as another one is."""
        await self.to_read.close_idle()
        await self.to_write.close_idle()

    def statement(self, clause: Clause, names: tuple[str, ...] | None = None) -> Statement:
        """Give the compiled form of a clause that is kept, such as those of `shapes`."""
        if clause not in self._statements:
            self._statements[clause] = Statement(clause, self.dialect, names)
        return self._statements[clause]

    def listing(
        self, shape: type[SQLModel], keyset: Keyset, conditions: Sequence[ColumnElement[bool]]
    ) -> tuple[Statement, dict[str, Any]]:
        """Give the compiled query of a page, and the values of its conditions."""
        # Conditions of the same form have equal keys, whatever the values are.
        keys = [condition._generate_cache_key() for condition in conditions]
        form = (shape, keyset.sort, *(key and key.key for key in keys))
        binds = [bind for key in keys if key for bind in key.bindparams]
        if form not in self._listings or None in form:
            clause = plan_of(shape).select(
                *conditions,
                order=[column.key for column in keyset.columns],
                descending=keyset.sort.startswith("-"),
                limit=bindparam("limit", type_=Integer()),
            )
            statement = Statement(clause, self.dialect)
            self._listings[form] = statement, [statement.bind_names[bind] for bind in binds]
        statement, names = self._listings[form]
        values = zip(names, (bind.effective_value for bind in binds), strict=True)
        return statement, dict(values)

    async def current_revision(self) -> str | None:
        """Read the revision of the database's schema; None if it was never migrated."""

        def heads(connection: Connection) -> tuple[str, ...]:
            return MigrationContext.configure(connection).get_current_heads()

        found = await self.read(lambda link: greenlet_spawn(heads, link.connection))
        return ", ".join(found) or None

    async def migrate(self) -> None:
        """Bring the schema to the code's revision; only for SQLite is it done without asking."""
        await asyncio.to_thread(migrate, self.url)

    async def dispose(self) -> None:
        await self.close_idle()
        await self.reader.dispose()
        await self.writer.dispose()
        if self._anchor:
            self._anchor.close()


PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # NORMAL may lose the last commits in a power cut
    "PRAGMA foreign_keys = ON",
)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # SQLite's own lower() knows ASCII only; PostgreSQL's knows Unicode.
    connection.run_async(lambda raw: raw.create_function("lower", 1, _lower, deterministic=True))
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _lower(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


def _begin_immediate(connection: Connection) -> None:
    # A transaction that starts as a reader and then writes can fail half-way, or lose an update.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _mark_tried(connection: Connection, *_: object) -> None:
    connection.info.pop(UNTRIED, None)


def _find_stale_connection(context: ExceptionContext) -> Exception | None:
    """Invalidate a connection that is of no use any more.

    Return StaleConnectionError if the transaction may be repeated, because nothing was done in it,
    or a prepared statement was refused.
    """
    error = context.original_exception
    if not isinstance(error, Exception):
        return None  # it was cancelled: its request has been answered, and must not be repeated
    state = getattr(error, "sqlstate", None) or ""
    is_outdated = _has_outdated_plan(error)
    if is_outdated or state == READ_ONLY or state.startswith(SHUT_DOWN):
        context.is_disconnect = True
    connection = context.connection
    is_untried = connection is not None and UNTRIED in connection.info
    if is_outdated or (context.is_disconnect and is_untried):
        return StaleConnectionError(str(error))
    return None


SHUT_DOWN = "57P0"  # admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout
UNKNOWN_STATEMENT = "26000"  # invalid_sql_statement_name


def _has_outdated_plan(error: BaseException) -> bool:
    """Tell whether a prepared statement is gone, or its columns have other types by now.

    For the latter PostgreSQL has no SQLSTATE but that of any unsupported feature, and the name of
    the function that its own tests of clients go by.
    """
    diagnostics = getattr(error, "diag", None)
    return getattr(error, "sqlstate", None) == UNKNOWN_STATEMENT or (
        getattr(diagnostics, "source_function", None) == "RevalidateCachedQuery"
    )


_leftovers: set[asyncio.Task[Any]] = set()


async def within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Wait so long for the database, and no longer: TimeoutError.

    `asyncio.timeout` would wait on until the driver has cancelled its statement, which takes ten
    seconds more with a server that hangs. Here that goes on without us.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    over = loop.create_future()
    task.add_done_callback(lambda _: _end(over))
    timer = loop.call_later(seconds, _end, over)
    try:
        await over
    finally:
        timer.cancel()
    if task.done():
        return task.result()
    task.cancel()
    _leftovers.add(task)
    task.add_done_callback(_forget)
    raise TimeoutError


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)


def _forget(task: asyncio.Task[Any]) -> None:
    _leftovers.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not complain


# --- Migrations ---------------------------------------------------------------------------


def migrate(url: URL) -> None:
    """Upgrade to the newest revision; safe when several processes do it at once."""
    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")


@cache
def head_revision() -> str | None:
    """Give the revision that the code is written for."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


# --- Sessions -----------------------------------------------------------------------------


class Reader:
    """Reads in autocommit: one statement and one round trip, no lock on SQLite."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.database: Database = request.app.state.database

    async def one(self, shape: type[Shape], key: Any) -> Shape:
        """Read one object as its Out class shows it, or answer 404."""
        statement = self.database.statement(by_key(shape))
        objects = await self._read(shape, statement, {"key": key})
        if not objects:
            raise Problem.not_found(table_of(shape))
        return objects[0]

    async def page(
        self, shape: type[Shape], page: Page, *conditions: ColumnElement[bool]
    ) -> list[Shape]:
        """Read one page of a list, oldest first unless sorted; a Link header names the next.

        `conditions` are those beside the page's own.
        """
        keyset = Keyset.of(table_of(shape), page.sort_order)
        conditions = (*conditions, *page.conditions())
        if page.after is not None:
            conditions += (keyset.beyond(page.after),)
        statement, values = self.database.listing(shape, keyset, conditions)
        objects = await self._read(shape, statement, values | {"limit": page.limit + 1})
        if len(objects) > page.limit:
            objects = objects[: page.limit]
            link = next_link(self.request, keyset.cursor_of(objects[-1]))
            self.request.state.headers["Link"] = link
        return objects

    async def _read(self, shape: type[Shape], statement: Statement, values: Values) -> list[Shape]:
        rows, loads = await self.database.read(lambda link: link.rows(statement, values))
        return plan_of(shape).objects(rows, loads)


class _Session(Session):
    """A session on the connection of its writer, which does without it as long as it can."""

    def get_bind(self, *_: Any, **__: Any) -> Connection:
        writer: Writer = self.info["writer"]
        link: Link = await_only(writer.link())
        return link.connection


class Writer(AsyncSession):
    """A session in one transaction, committed before the response is sent."""

    sync_session_class = _Session

    def __init__(self, request: Request, after_begin: AfterBegin | None = None) -> None:
        """Have `after_begin` done first in the transaction, which begins when it is needed."""
        super().__init__(autoflush=False, info={"writer": self})
        self.database: Database = request.app.state.database
        self.request = request
        self.after_begin = after_begin
        self._link: Link | None = None
        self._beginning = asyncio.Lock()
        self._has_ended = False

    async def link(self) -> Link:
        """Return the connection of this transaction, which begins if it has not yet."""
        if self._link and not self.after_begin:
            return self._link
        async with self._beginning:
            return await self._begin()

    async def _begin(self) -> Link:
        if self._has_ended:
            raise RuntimeError("The transaction has ended with the request that it was for")
        if self._link is None:
            self._link = await self.database.to_write.acquire()
            await self._link.begin()
        if self.after_begin:
            await self.after_begin(self._link)  # if it fails, the next use runs it again
            self.after_begin = None
        return self._link

    async def end(self, keep: bool, check: bool = True) -> None:
        """Commit, or undo it all; `check` is whether to send all statements even so."""
        session = self.sync_session

        def end() -> None:
            with session:
                if keep:
                    session.commit()
                elif check:
                    session.flush()  # the last statements, which the database may refuse

        is_kept = False
        try:
            if session.in_transaction():
                await greenlet_spawn(end)
            if keep and self._link:
                await self._link.commit()
                is_kept = True
        finally:
            session.info.clear()
            self._has_ended = True
            link, self._link = self._link, None
            if link:
                await self.database.to_write.release(link, roll_back=not is_kept)

    async def __aexit__(self, kind: Any, *_: object) -> None:
        await self.end(keep=kind is None, check=False)

    async def find(self, table: type[Row], key: Any, shape: type[SQLModel] | None = None) -> Row:
        """Read the row with this key to change it, or answer 404; others wait until it is done.

        It comes with all that `shape` names (by default the table's own Out class), which is
        what a client sees of it: 412 if the `If-Match` header names another state.
        """
        shape = shape or table.__bases__[0]
        lock = {"of": table, "key_share": True}
        row = await self.get(table, key, options=loads(shape), with_for_update=lock)
        if row is None:
            raise Problem.not_found(table)
        if "if-match" in self.request.headers:
            expected = ", ".join(self.request.headers.getlist("if-match"))
            content = shape.model_validate(row).model_dump_json(by_alias=True).encode()
            check_if_match(expected, etag(content))
        return row

    def upsert(self, table: type[SQLModel]) -> postgresql.Insert | sqlite.Insert:
        """Begin an `INSERT … ON CONFLICT`, which both databases have in the same words."""
        return sqlite.insert(table) if self.database.is_sqlite else postgresql.insert(table)

    async def read(self, shape: type[Shape], keys: Collection[Any]) -> dict[Any, Shape]:
        """Read the objects that have these keys, by their keys."""
        if not keys:
            return {}
        # Few sizes make few statements, which both sides keep: a key may be there more than once.
        padded = [*keys, *[next(iter(keys))] * ((1 << (len(keys) - 1).bit_length()) - len(keys))]
        statement = self.database.statement(by_keys(shape, len(padded)))
        values = {f"key_{i}": key for i, key in enumerate(padded)}
        plan = plan_of(shape)
        objects = plan.objects(*await (await self.link()).rows(statement, values))
        return {getattr(one, plan.key.key): one for one in objects}

    async def create(self, one: Shape) -> Shape:
        """Insert the rows of an object, and say in the Location header where it is from now on."""
        link, compiled = await self.link(), self.database.statement
        key = plan_of(type(one)).key
        tables = [(table, rows) for table, rows in rows_of(one) if rows]
        if getattr(one, key.key) is None:  # the database makes it
            ((table, (values,)),) = tables
            del values[key.key]
            statement = compiled(insert_and_tell_key(table), tuple(values))
            ((made,),) = await link.values(statement, values)
            setattr(one, key.key, made)
        elif self.database.is_sqlite or any(len(rows) > MOST_TOGETHER for _, rows in tables):
            for table, rows in tables:
                await link.run(compiled(insert_of(table)), *rows)
        else:
            form = tuple((table, tuple(rows[0]), len(rows)) for table, rows in tables)
            values = values_together(rows for _, rows in tables)
            await link.run(compiled(insert_together(form)), values)
        path = quote(self.request.scope["path"].rstrip("/"))
        location = f"{path}/{quote(str(getattr(one, key.key)), safe='')}"
        self.request.state.headers["Location"] = location
        return one

    async def remove(
        self, table: type[SQLModel], key: Any, shape: type[SQLModel] | None = None
    ) -> None:
        """Delete the row with this key, or answer 404; 409 if other rows refer to it."""
        if "if-match" in self.request.headers:
            await self.find(table, key, shape)
        (primary_key,) = Keyset.of(table).columns
        result = await self.exec(delete(table).where(primary_key == key))
        if result.rowcount == 0:
            raise Problem.not_found(table)


class Work:
    """All that one request does with the database: it happens whole, or not at all.

    If it is not to be kept, it is undone at the end, after all that the database could refuse.
    """

    def __init__(
        self, request: Request, keep: bool = True, after_begin: AfterBegin | None = None
    ) -> None:
        self.request = request
        self.keep = keep
        self.after_begin = after_begin

    @cached_property
    def writer(self) -> Writer:
        return Writer(self.request, self.after_begin)

    async def __aenter__(self) -> Self:
        self.request.state.work = self
        self.request.state.headers = {}
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Circles of references would be left for the garbage collector, for which all must wait.
        del self.request.state.work
        if "writer" in vars(self):
            await self.writer.end(kind is None and self.keep, check=kind is None)


# Both are async for speed alone: FastAPI runs what is not in a thread.
async def _reader(request: Request) -> Reader:
    return Reader(request)


async def _writer(request: Request) -> Writer:
    work: Work = request.state.work
    return work.writer


Read = Annotated[Reader, Depends(_reader)]
Write = Annotated[Writer, Depends(_writer)]
