"""The two kinds of session that an endpoint may ask for: to read, and to write."""

from functools import cached_property
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import quote

from fastapi import Depends, Request
from sqlalchemy import ColumnElement, delete
from sqlmodel import SQLModel

from orders_api.problems import Problem
from orders_api.storage.engines import Database
from orders_api.storage.keyset import Keyset
from orders_api.storage.projection import by_key, projection_of
from orders_api.storage.schemas import loader_options, out_class_of, table_of
from orders_api.storage.statements import Statement, Values
from orders_api.storage.unit_of_work import AfterBegin, UnitOfWork
from orders_api.web.etags import check_if_match, etag
from orders_api.web.pagination import Page, beyond, next_link

Schema = TypeVar("Schema", bound=SQLModel)
Row = TypeVar("Row", bound=SQLModel)


class Reader:
    """Reads in autocommit: one statement and one round trip, no lock on SQLite."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.database: Database = request.app.state.database

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

        `conditions` are those beside the page's own.
        """
        keyset = Keyset.of(table_of(schema), page.sort_order)
        conditions = (*conditions, *page.conditions())
        if page.after is not None:
            conditions += (beyond(keyset, page.after),)
        statement, values = self.database.listing(schema, keyset, conditions)
        objects = await self._read(schema, statement, values | {"limit": page.limit + 1})
        if len(objects) > page.limit:
            objects = objects[: page.limit]
            link = next_link(self.request, keyset.cursor_of(objects[-1]))
            self.request.state.headers["Link"] = link
        return objects

    async def _read(
        self, schema: type[Schema], statement: Statement, values: Values
    ) -> list[Schema]:
        rows, processors = await self.database.read(
            lambda connection: connection.rows(statement, values)
        )
        return projection_of(schema).objects(rows, processors)


class Writer(UnitOfWork):
    """A session in one transaction, committed before the response is sent."""

    def __init__(self, request: Request, after_begin: AfterBegin | None = None) -> None:
        """Have `after_begin` done first in the transaction, which begins when it is needed."""
        super().__init__(request.app.state.database, after_begin)
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
        """Insert the rows of an object, and say in the Location header where it is from now on."""
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
        self.request.state.transaction = self
        self.request.state.headers = {}
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Circles of references would be left for the garbage collector, for which all must wait.
        del self.request.state.transaction
        if "writer" in vars(self):
            await self.writer.end(kind is None and self.keep, check=kind is None)


# Both are async for speed alone: FastAPI runs what is not in a thread.
async def _reader(request: Request) -> Reader:
    return Reader(request)


async def _writer(request: Request) -> Writer:
    transaction: RequestTransaction = request.state.transaction
    return transaction.writer


Read = Annotated[Reader, Depends(_reader)]
Write = Annotated[Writer, Depends(_writer)]
