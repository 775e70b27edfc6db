"""The two kinds of session that an endpoint may ask for: to read, and to write."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import Annotated, Any, Self, TypeVar, TypeVarTuple, overload
from urllib.parse import quote

from fastapi import Depends, Request
from sqlalchemy import ColumnElement, ScalarResult, delete
from sqlalchemy.engine.result import TupleResult
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import Select, SelectOfScalar

from orders_api.problems import Problem
from orders_api.storage.driver import PooledConnection
from orders_api.storage.engines import Database
from orders_api.storage.keyset import Keyset
from orders_api.storage.projection import by_key, projection_of
from orders_api.storage.schemas import loader_options, out_class_of, table_of
from orders_api.storage.search import Texts, candidates
from orders_api.storage.statements import Statement, Values
from orders_api.storage.unit_of_work import AfterBegin, UnitOfWork
from orders_api.web.etags import check_if_match, etag
from orders_api.web.pagination import Page, beyond, next_link
from orders_api.web.prefer import COUNT, preferred

Schema = TypeVar("Schema", bound=SQLModel)
Row = TypeVar("Row", bound=SQLModel)
Value = TypeVar("Value")
Columns = TypeVarTuple("Columns")
Result = TypeVar("Result")


class Reader:
    """Reads in autocommit: one statement and one round trip, no lock on SQLite.

    Once the request's transaction has begun, they are part of it, and see what it has changed.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.database: Database = request.app.state["database"]
        self._snapshot: PooledConnection | None = None

    @overload
    async def exec(self, query: SelectOfScalar[Value]) -> ScalarResult[Value]: ...

    @overload
    async def exec(self, query: Select[*Columns]) -> TupleResult[tuple[*Columns]]: ...

    async def exec(self, query: Any) -> Any:
        """Run any `select`, as `exec` of SQLModel's sessions does.

        The objects belong to no session: what they refer to must be loaded by the query itself, by
        `selectinload` for example.
        """
        if not getattr(query, "is_select", False):
            raise TypeError("Read takes nothing but `select(…)`: ask for Write to change something")

        async def run(connection: PooledConnection) -> Any:
            session = AsyncSession(join_transaction_mode="rollback_only")
            session.sync_session.bind = connection.connection
            result = await session.exec(query)
            session.expunge_all()
            return result

        return await self._run(run)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """Read all within from one snapshot: the database as it is at the first read.

        The request itself cannot write meanwhile. A connection is held until the end.
        """
        self._check_no_snapshot()
        connection = await self.database.to_read.acquire()
        try:
            self._check_no_snapshot()  # again, as another task may have begun one meanwhile
            self._snapshot = connection
            await connection.begin_snapshot()
            yield
        finally:
            if self._snapshot is connection:
                self._snapshot = None
            await self.database.to_read.release(connection, roll_back=True)

    def _check_no_snapshot(self) -> None:
        if self._snapshot or _transaction_of(self.request):
            raise RuntimeError("A snapshot begins before the request writes, and within no other")

    async def get_or_404(self, schema: type[Schema], key: Any) -> Schema:
        """Read one object as its Out class shows it, or answer 404."""
        statement = self.database.statement(by_key(schema))
        objects = await self._read(schema, statement, {"key": key})
        if not objects:
            raise Problem.not_found(table_of(schema))
        return objects[0]

    async def page(
        self, schema: type[Schema], page: Page, *conditions: ColumnElement[bool]
    ) -> list[Schema]:
        """Read one page of a list, oldest first unless sorted; a Link header names the next.

        `conditions` are those beside the page's own. All that they leave are counted if asked for.
        """
        searches = [*page.searches()]
        if not searches or self._snapshot or _transaction_of(self.request):
            return await self._page(schema, page, conditions, searches)
        async with self.database.searches:
            return await self._page(schema, page, conditions, searches)

    async def _page(
        self,
        schema: type[Schema],
        page: Page,
        conditions: tuple[ColumnElement[bool], ...],
        searches: Iterable[tuple[Texts, str]],
    ) -> list[Schema]:
        keyset = Keyset.of(table_of(schema), page.sort_order)
        after = () if page.after is None else (beyond(keyset, page.after),)
        conditions = (*conditions, *page.conditions())
        for texts, value in searches:
            search = partial(candidates, self.database, texts=texts, value=value)
            conditions += (*await self._run(search),)
        if "prefer" in self.request.headers and preferred(self.request, [COUNT]):
            await self._count(schema, conditions)
        statement, values = self.database.listing(schema, keyset, (*conditions, *after))
        objects = await self._read(schema, statement, values | {"limit": page.limit + 1})
        if len(objects) > page.limit:
            objects = objects[: page.limit]
            link = next_link(self.request, keyset.cursor_of(objects[-1]))
            self.request.state.headers["Link"] = link
        return objects

    async def _count(
        self, schema: type[Schema], conditions: tuple[ColumnElement[bool], ...]
    ) -> None:
        """Say in a header how many objects all pages have."""
        statement, values = self.database.count(schema, conditions)
        ((total,),) = await self._run(lambda connection: connection.values(statement, values))
        self.request.state.headers |= {"X-Total-Count": str(total), "Preference-Applied": COUNT}

    async def _read(
        self, schema: type[Schema], statement: Statement, values: Values
    ) -> list[Schema]:
        if self._snapshot or _transaction_of(self.request):
            found = await self._run(lambda connection: connection.rows(statement, values))
        else:
            found = await self.database.rows(statement, values)
        rows, processors = found
        return projection_of(schema).objects(rows, processors)

    async def _run(self, work: Callable[[PooledConnection], Awaitable[Result]]) -> Result:
        if self._snapshot:
            return await work(self._snapshot)
        if transaction := _transaction_of(self.request):
            await transaction.flush_changes()
            return await work(await transaction.pooled_connection())
        return await self.database.read(work)


def _transaction_of(request: Request) -> UnitOfWork | None:
    """Return the transaction of a request, if that has begun."""
    transaction = request.scope["state"].get("transaction")
    writer: UnitOfWork | None = vars(transaction).get("writer") if transaction else None
    return writer if writer and writer.is_open else None


class Writer(UnitOfWork):
    """A session in one transaction, committed before the response is sent."""

    def __init__(self, request: Request, after_begin: AfterBegin | None = None) -> None:
        """Make a session whose transaction, when it begins, first awaits `after_begin`."""
        super().__init__(request.app.state["database"], after_begin)
        self.request = request

    async def get_for_update(
        self, table: type[Row], key: Any, schema: type[SQLModel] | None = None
    ) -> Row:
        """Read the row with this key to change it, or answer 404; others wait until it is done.

        It comes with all that `schema` names (by default the table's own Out class), which is
        what a client sees of it: 412 if the `If-Match` header names another state.
        """
        schema = schema or out_class_of(table)
        lock = {"of": table, "key_share": True}
        row = await self.get(table, key, options=loader_options(schema), with_for_update=lock)
        if row is None:
            raise Problem.not_found(table)
        if "if-match" in self.request.headers:
            expected = ", ".join(self.request.headers.getlist("if-match"))
            content = schema.model_validate(row).model_dump_json(by_alias=True).encode()
            check_if_match(expected, etag(content))
        return row

    async def create(self, one: Schema) -> Schema:
        """Insert the rows of an object, and say in the Location header where it is from now on.

        `flush` raises at once what the database refuses, which may be raised later otherwise. To
        catch it and go on, create within `begin_nested`: else PostgreSQL undoes the transaction.
        """
        one = await self.insert(one)
        key = projection_of(type(one)).key
        path = quote(self.request.scope["path"].rstrip("/"))
        location = f"{path}/{quote(str(getattr(one, key.key)), safe='')}"
        self.request.state.headers["Location"] = location
        return one

    async def delete_or_404(
        self, table: type[SQLModel], key: Any, schema: type[SQLModel] | None = None
    ) -> None:
        """Delete the row with this key, or answer 404; 409 if other rows refer to it."""
        if "if-match" in self.request.headers:
            await self.get_for_update(table, key, schema)
        (primary_key,) = Keyset.of(table).columns
        result = await self.exec(delete(table).where(primary_key == key))
        if result.rowcount == 0:
            raise Problem.not_found(table)


class RequestTransaction:
    """All that one request does with the database: it happens whole, or not at all.

    Without `commit` it is undone at the end, after all that the database could refuse.
    """

    def __init__(
        self, request: Request, commit: bool = True, after_begin: AfterBegin | None = None
    ) -> None:
        self.request = request
        self.commit = commit
        self.after_begin = after_begin

    @cached_property
    def writer(self) -> Writer:
        return Writer(self.request, self.after_begin)

    async def __aenter__(self) -> Self:
        self.request.scope["state"] |= {"transaction": self, "headers": {}}
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Circles of references would be left for the garbage collector, for which all must wait.
        del self.request.scope["state"]["transaction"]
        if "writer" not in vars(self):
            return
        try:
            if kind is None and not self.commit:
                await self.writer.check()  # the last that the database may refuse
        finally:
            await self.writer.finish(commit=kind is None and self.commit)


# Both are async for speed alone: FastAPI would run plain functions in a thread.
async def _reader(request: Request) -> Reader:
    return Reader(request)


async def _writer(request: Request) -> Writer:
    transaction: RequestTransaction = request.state.transaction
    return transaction.writer


Read = Annotated[Reader, Depends(_reader)]
Write = Annotated[Writer, Depends(_writer)]
