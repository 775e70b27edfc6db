"""A small library: every kind of member that an Out class may have, on tables of its own.

They are in a registry of their own, so that the tables of the service stay as they are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path, Query
from fastapi.testclient import TestClient
from sqlalchemy import BigInteger, Column, Computed, Connection, ForeignKeyConstraint, Integer, func
from sqlalchemy.orm import Mapped, column_property, registry
from sqlmodel import Field, Relationship, SQLModel, col, select

from orders_api.app import create_app
from orders_api.field_types import Count, Each, Key, Sum, Text, decimal
from orders_api.models import In, Out, Partial, Versioned
from orders_api.settings import Settings
from orders_api.web import Filter, Page, Read, Router, Write
from tests.conftest import database_of, local_client

RAISE = {"lazy": "raise_on_sql"}


class Library(SQLModel, registry=registry()):
    """The base of all tables here."""


# --- Authors, who have prizes --------------------------------------------------------------


class AuthorOut(Out):
    name: Text
    author_id: Key


class AuthorDetail(AuthorOut):
    prizes: Annotated[list[str], Each("name")]


class Prize(Library, table=True):
    prize_id: Key
    author_id: UUID = Field(foreign_key="author.author_id")
    name: str


class Author(AuthorOut, Library, table=True):
    prizes: Mapped[list[Prize]] = Relationship(
        sa_relationship_kwargs=RAISE
        | {"order_by": "(desc(func.length(Prize.name)), Prize.prize_id.desc().nulls_last())"}
    )


# --- Genres, which are linked with books ---------------------------------------------------


class GenreOut(Out):
    name: Text
    genre_id: Key


class Genre(GenreOut, Library, table=True):
    pass


class BookGenre(Library, table=True):
    book_id: UUID = Field(foreign_key="book.book_id", primary_key=True)
    genre_id: UUID = Field(foreign_key="genre.genre_id", primary_key=True)


# --- Books, with chapters, in which there are notes ----------------------------------------


class NoteOut(Out):
    text: Text


class Note(NoteOut, Library, table=True):
    __table_args__ = (
        ForeignKeyConstraint(["book_id", "number"], ["chapter.book_id", "chapter.number"]),
    )

    note_id: int = Field(default=None, primary_key=True)
    book_id: UUID
    number: int


class ChapterOut(Out):
    number: int
    title: Text
    pages: int


class ChapterDetail(ChapterOut):
    notes: list[NoteOut]
    note_count: Annotated[int, Count("notes")] = 0


class Chapter(ChapterOut, Library, table=True):
    book_id: UUID = Field(foreign_key="book.book_id", primary_key=True)
    number: int = Field(primary_key=True)

    notes: Mapped[list[Note]] = Relationship(
        sa_relationship_kwargs=RAISE | {"order_by": "Note.note_id"}
    )


class Edition(Library, table=True):
    edition_id: int = Field(default=None, primary_key=True)
    book_id: UUID = Field(foreign_key="book.book_id")
    price: Decimal = Field(max_digits=9, decimal_places=2)
    copies: int = Field(sa_type=BigInteger)


class BookUpdate(Partial, In):
    title: Text


Weight = Annotated[Decimal, decimal(9, 3)]


class BookOut(Out):
    """Columns, of which the database makes some."""

    title: Text
    shelf: Text | None = None
    weight: Weight
    status: str = Field(default=None, sa_column_kwargs={"server_default": "new"})
    title_length: int = Field(default=None, sa_column=Column(Integer, Computed("length(title)")))
    book_id: Key


class BookFigures(BookOut):
    """Counts, sums and what else SQL can say of a book."""

    chapter_count: Annotated[int, Count("chapters")] = 0
    genre_count: Annotated[int, Count("genres")] = 0
    page_count: Annotated[int, Sum("chapters.pages")] = 0
    copies: Annotated[int, Sum("editions.copies")] = 0
    value: Annotated[Decimal, Sum("editions.price")] = Decimal("0.00")
    loud_title: str = ""


class BookGenres(BookOut):
    """A list of values through a link table."""

    author_id: UUID
    genres: Annotated[list[str], Each("name")]


class BookLinks(BookOut):
    """A list of objects through a link table."""

    genres: list[GenreOut]


class BookChapters(BookOut):
    """A list of objects."""

    chapters: list[ChapterOut]


class BookNotes(BookOut):
    """A list of objects, each with a list and a count."""

    chapters: list[ChapterDetail]


class BookAuthors(BookOut):
    """A nested object with a list of values, and one that may be missing."""

    author: AuthorDetail
    editor: AuthorDetail | None


class BookDetail(BookAuthors, BookFigures):
    """All of it."""

    genres: list[GenreOut]
    chapters: list[ChapterDetail]


class Book(BookOut, Versioned, Library, table=True):
    author_id: UUID = Field(foreign_key="author.author_id")
    editor_id: UUID | None = Field(default=None, foreign_key="author.author_id")

    author: Mapped[Author] = Relationship(
        sa_relationship_kwargs=RAISE | {"foreign_keys": "Book.author_id"}
    )
    editor: Mapped[Author | None] = Relationship(
        sa_relationship_kwargs=RAISE | {"foreign_keys": "Book.editor_id"}
    )
    genres: Mapped[list[Genre]] = Relationship(
        link_model=BookGenre, sa_relationship_kwargs=RAISE | {"order_by": "Genre.name"}
    )
    chapters: Mapped[list[Chapter]] = Relationship(
        sa_relationship_kwargs=RAISE | {"order_by": "Chapter.number"}
    )
    editions: Mapped[list[Edition]] = Relationship(sa_relationship_kwargs=RAISE)


Book.loud_title = column_property(func.upper(Book.title), deferred=True)

SCHEMAS = {
    schema.__name__: schema
    for schema in (
        *(BookOut, BookFigures, BookGenres, BookLinks, BookChapters, BookNotes, BookAuthors),
        BookDetail,
    )
}


# --- The routes ----------------------------------------------------------------------------

router = Router(prefix="/books", tags=["books"])

BookId = Annotated[UUID, Path(alias="bookId")]


class BookPage(Page):
    shelf: Annotated[str | None, Filter(lambda value: col(Book.shelf) == value)] = None
    genre: Annotated[str | None, Filter(lambda value: col(Genre.name) == value)] = None
    genre_id: Annotated[UUID | None, Filter(lambda value: col(BookGenre.genre_id) == value)] = None
    any_genre: Annotated[
        str | None, Filter(lambda value: col(Book.genres).any(col(Genre.name).startswith(value)))
    ] = None
    sort: Literal["shelf", "-shelf", "titleLength", "-titleLength"] | None = None


def add_routes(kind: str, schema: Any) -> None:
    """Add routes to read and to write what one Out class shows."""
    path = f"/{kind}"

    @router.get(path, name=f"list_{kind}")
    async def list_books(read: Read, page: Annotated[BookPage, Query()]) -> list[schema]:
        return await read.page(schema, page)

    @router.get(path + "/many", name=f"many_{kind}")
    async def get_many_books(write: Write) -> list[schema]:
        keys = list(await write.exec(select(Book.book_id)))
        return list((await write.get_many(schema, keys)).values())

    @router.post(path, status_code=201, name=f"create_{kind}")
    async def create_book(write: Write, body: schema) -> schema:
        return await write.create(body)

    @router.get(path + "/{bookId}", name=f"get_{kind}")
    async def get_book(read: Read, book_id: BookId) -> schema:
        return await read.get_or_404(schema, book_id)

    @router.patch(path + "/{bookId}", name=f"update_{kind}")
    async def update_book(write: Write, book_id: BookId, body: BookUpdate) -> schema:
        book = await write.get_for_update(Book, book_id, schema)
        return await write.read_back(schema, book.sqlmodel_update(body.changes()))


for kind, schema in SCHEMAS.items():
    add_routes(kind, schema)


@contextmanager
def library(url: str) -> Iterator[TestClient]:
    """Serve the library on tables that are dropped in the end."""
    app = create_app(Settings(database_url=url))
    app.include_router(router)
    with local_client(app) as client:
        assert client.portal is not None
        engine = database_of(client).writer

        async def run(what: Callable[[Connection], None]) -> None:
            async with engine.begin() as connection:
                await connection.run_sync(what)

        client.portal.call(run, Library.metadata.create_all)
        try:
            yield client
        finally:
            client.portal.call(run, Library.metadata.drop_all)
