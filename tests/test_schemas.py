"""Every kind of member of an Out class, read and written alike on both databases."""

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby, product
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter, FastAPI, Path, Query
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import bindparam, insert
from sqlalchemy.orm import Mapped, registry
from sqlmodel import Field, Relationship, SQLModel, col

from orders_api.field_types import Count, Key, decimal
from orders_api.models import Out, ProductOut, StoreOut
from orders_api.storage.keyset import Keyset
from orders_api.storage.projection import by_key, projection_of
from orders_api.web import Page, Read, Router
from orders_api.web.schema_checks import check_schemas, warn_of_parameters
from tests.conftest import Statements, database_of, needs_shortcuts, recorded_statements
from tests.library import (
    SCHEMAS,
    Author,
    Book,
    BookGenre,
    Chapter,
    Edition,
    Genre,
    Library,
    Note,
    Prize,
    library,
)
from tests.samples import Json, problem
from tests.test_statements import check_sql, laid_out

KEYS = [str(UUID(int=n)) for n in range(10)]
ADA = {"name": "Ada", "authorId": KEYS[1], "prizes": ["Silver", "Gold"]}
BEA = {"name": "Bea", "authorId": KEYS[2], "prizes": []}
POETRY, SEA = ({"name": n, "genreId": k} for n, k in (("Poetry", KEYS[3]), ("Sea", KEYS[4])))

BOOKS: list[Json] = [
    {
        "title": "Atlas",
        "shelf": "B",
        "weight": "2.000",
        "status": "new",
        "titleLength": 5,
        "bookId": KEYS[5],
        "chapterCount": 2,
        "genreCount": 2,
        "pageCount": 30,
        "copies": 5_000_000_000,
        "value": "12.50",
        "loudTitle": "ATLAS",
        "authorId": KEYS[1],
        "author": ADA,
        "editor": BEA,
        "genres": [POETRY, SEA],
        "chapters": [
            {
                "number": 1,
                "title": "Maps",
                "pages": 10,
                "notes": [{"text": "b"}, {"text": "a"}],
                "noteCount": 2,
            },
            {"number": 2, "title": "Seas", "pages": 20, "notes": [{"text": "c"}], "noteCount": 1},
        ],
    },
    {
        "title": "Bread",
        "shelf": None,
        "weight": "0.000",
        "status": "new",
        "titleLength": 5,
        "bookId": KEYS[6],
        "chapterCount": 1,
        "genreCount": 1,
        "pageCount": 7,
        "copies": 0,
        "value": "0.00",
        "loudTitle": "BREAD",
        "authorId": KEYS[1],
        "author": ADA,
        "editor": None,
        "genres": [SEA],
        "chapters": [{"number": 1, "title": "Rye", "pages": 7, "notes": [], "noteCount": 0}],
    },
    {
        "title": "Cats",
        "shelf": "A",
        "weight": "1.500",
        "status": "old",
        "titleLength": 4,
        "bookId": KEYS[7],
        "chapterCount": 0,
        "genreCount": 0,
        "pageCount": 0,
        "copies": 0,
        "value": "0.00",
        "loudTitle": "CATS",
        "authorId": KEYS[2],
        "author": BEA,
        "editor": ADA,
        "genres": [],
        "chapters": [],
    },
]


def rows() -> Iterator[tuple[Any, Json]]:
    """Return the rows that are shown as `BOOKS`."""
    key = [UUID(key) for key in KEYS]
    for author in (ADA, BEA):
        yield Author, {"name": author["name"], "author_id": UUID(str(author["authorId"]))}
    for genre in (SEA, POETRY):
        yield Genre, {"name": genre["name"], "genre_id": UUID(genre["genreId"])}
    for n, name in enumerate(("Gold", "Silver")):
        yield Prize, {"prize_id": key[n], "author_id": key[1], "name": name}
    atlas = {"title": "Atlas", "shelf": "B", "author_id": key[1], "editor_id": key[2]}
    yield Book, atlas | {"book_id": key[5], "weight": Decimal(2), "version": 1}
    yield (
        Book,
        {
            "title": "Bread",
            "weight": Decimal(0),
            "book_id": key[6],
            "author_id": key[1],
            "version": 1,
        },
    )
    cats = {"title": "Cats", "shelf": "A", "author_id": key[2], "editor_id": key[1]}
    yield Book, cats | {"book_id": key[7], "weight": Decimal("1.5"), "status": "old", "version": 1}
    for n, genre_key in ((5, key[4]), (5, key[3]), (6, key[4])):
        yield BookGenre, {"book_id": key[n], "genre_id": genre_key}
    chapters = ((5, 2, "Seas", 20), (5, 1, "Maps", 10), (6, 1, "Rye", 7))
    for n, number, title, pages in chapters:
        yield Chapter, {"book_id": key[n], "number": number, "title": title, "pages": pages}
    for number, text in ((1, "b"), (2, "c"), (1, "a")):
        yield Note, {"book_id": key[5], "number": number, "text": text}
    for price in ("10.25", "2.25"):
        copies = 2_500_000_000
        yield Edition, {"book_id": key[5], "price": Decimal(price), "copies": copies}


def shown(kind: str, book: Json) -> Json:
    """Return a book as this Out class shows it."""
    members = SCHEMAS[kind].model_fields
    found = {str(f.alias): book[str(f.alias)] for f in members.values()}
    if kind == "BookGenres":
        found["genres"] = [genre["name"] for genre in book["genres"]]
    if kind == "BookChapters":
        own = ("number", "title", "pages")
        found["chapters"] = [{name: c[name] for name in own} for c in book["chapters"]]
    return found


def fill(client: TestClient) -> None:
    """Leave the books that are in `BOOKS`, and no others."""
    assert client.portal is not None
    engine = database_of(client).writer

    async def replace_all() -> None:
        async with engine.begin() as connection:
            for table in reversed(Library.metadata.sorted_tables):
                await connection.execute(table.delete())
            for (table, _), found in groupby(rows(), lambda row: (row[0], [*row[1]])):
                await connection.execute(insert(table), [values for _, values in found])

    client.portal.call(replace_all)


@pytest.fixture(scope="module")
def books(database_url: str) -> Iterator[TestClient]:
    """The books that are in `BOOKS`, to read."""
    with library(database_url) as client:
        fill(client)
        yield client


@pytest.fixture
def changing_books(books: TestClient) -> Iterator[TestClient]:
    yield books
    fill(books)


@pytest.fixture
def statements(books: TestClient) -> Iterator[Statements]:
    with recorded_statements(books) as recorded:
        yield recorded


@pytest.mark.parametrize("kind", SCHEMAS)
def test_object_is_read_by_one_statement(
    books: TestClient, statements: Statements, kind: str
) -> None:
    for book in BOOKS:
        statements.texts.clear()
        response = books.get(f"/books/{kind}/{book['bookId']}")
        assert response.json() == shown(kind, book)
        assert len(statements) == 1


@pytest.mark.parametrize("kind", SCHEMAS)
def test_page_is_read_by_one_statement_and_its_limit_counts_objects(
    books: TestClient, statements: Statements, kind: str
) -> None:
    expected = [shown(kind, book) for book in BOOKS]
    response = books.get(f"/books/{kind}?limit=2")
    assert response.json() == expected[:2]
    assert len(statements) == 1
    assert books.get(response.links["next"]["url"]).json() == expected[2:]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_many_are_read_by_their_keys(books: TestClient, kind: str) -> None:
    found = books.get(f"/books/{kind}/many").json()
    found.sort(key=lambda book: book["bookId"])
    assert found == [shown(kind, book) for book in BOOKS]


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("genre=Sea", ["Atlas", "Bread"]),
        (f"genreId={KEYS[4]}", ["Atlas", "Bread"]),
        (f"genreId={KEYS[3]}", ["Atlas"]),
        (f"genreId={KEYS[4]}&genre=Sea&shelf=B", ["Atlas"]),
        (f"genreId={KEYS[4]}&genre=Poetry", []),
        ("anyGenre=S", ["Atlas", "Bread"]),
        ("anyGenre=P", ["Atlas"]),
        ("anyGenre=S&shelf=B", ["Atlas"]),
        ("genre=Sea&shelf=B", ["Atlas"]),
    ],
)
def test_list_is_filtered_by_what_is_linked(
    books: TestClient, kind: str, query: str, titles: list[str]
) -> None:
    found = books.get(f"/books/{kind}?{query}").json()
    assert found == [shown(kind, book) for book in BOOKS if book["title"] in titles]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_change_sees_what_was_read(changing_books: TestClient, kind: str) -> None:
    for book in BOOKS:
        path = f"/books/{kind}/{book['bookId']}"
        etag = changing_books.get(path).headers["etag"]
        changed = changing_books.patch(path, json={"title": "Doves"}, headers={"if-match": etag})
        assert changed.status_code == 200, changed.text
        read = changing_books.get(path)
        assert changed.json() == read.json()
        assert changed.headers["etag"] == read.headers["etag"] != etag
        again = changing_books.patch(path, json={"title": "Eagles"}, headers={"if-match": etag})
        assert again.status_code == 412


@pytest.mark.parametrize("kind", ["BookAuthors", "BookDetail", "BookGenres"])
def test_created_object_is_answered_as_it_is_read(changing_books: TestClient, kind: str) -> None:
    """The database makes the status, computes and counts, and has an order for what is linked."""
    expected = shown(kind, BOOKS[0]) | {"bookId": KEYS[8]}
    body = {name: v for name, v in expected.items() if name not in {"status", "titleLength"}}
    if kind == "BookDetail":
        expected |= {"copies": 0, "value": "0.00"}
        body |= {"chapterCount": 7, "loudTitle": "?"}
    if "genres" in body:
        body["genres"] = body["genres"][::-1]
    response = changing_books.post(f"/books/{kind}", json=body | {"weight": 2})
    assert response.status_code == 201, response.text
    assert response.json() == expected
    read = changing_books.get(f"/books/{kind}/{KEYS[8]}")
    assert read.json() == expected
    assert response.headers["etag"] == read.headers["etag"]


def test_many_values_are_linked_in_lists_as_long_as_they_are(changing_books: TestClient) -> None:
    names = [f"Genre {n}" for n in range(10)]
    assert changing_books.portal is not None

    async def add_genres() -> None:
        async with database_of(changing_books).writer.begin() as connection:
            rows = [{"name": name, "genre_id": uuid4()} for name in names]
            await connection.execute(insert(Genre), rows)

    changing_books.portal.call(add_genres)
    body = {"title": "Figs", "weight": 1, "authorId": KEYS[1]}
    for count in (0, 1, 10):
        response = changing_books.post("/books/BookGenres", json=body | {"genres": names[:count]})
        assert (response.status_code, response.json()["genres"]) == (201, names[:count])


def test_value_that_nothing_has_is_not_linked(books: TestClient) -> None:
    body = {"title": "Figs", "weight": 1, "authorId": KEYS[1], "genres": ["Sea", "Sand"]}
    problem(books.post("/books/BookGenres", json=body), 422, "invalid")
    assert books.get("/books/BookOut").json() == [shown("BookOut", book) for book in BOOKS]


def test_value_that_several_have_is_linked_with_the_first(changing_books: TestClient) -> None:
    assert changing_books.portal is not None

    async def add_genre() -> None:
        async with database_of(changing_books).writer.begin() as connection:
            await connection.execute(insert(Genre), {"name": "Sea", "genre_id": UUID(KEYS[9])})

    changing_books.portal.call(add_genre)
    body = {"title": "Figs", "weight": 1, "authorId": KEYS[1], "genres": ["Sea"]}
    created = changing_books.post("/books/BookGenres", json=body).json()
    found = changing_books.get(f"/books/BookLinks/{created['bookId']}").json()
    assert found["genres"] == [SEA]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_pages_by_a_link_table_are_searched_in_its_order(
    books: TestClient, statements: Statements, kind: str
) -> None:
    response = books.get(f"/books/{kind}?genreId={KEYS[4]}&limit=1")
    found = response.json() + books.get(response.links["next"]["url"]).json()
    assert found == [shown(kind, book) for book in BOOKS[:2]]
    for text in statements.texts:
        assert "ORDER BY bookgenre.book_id" in text


SORTED = {
    "shelf": ["Cats", "Atlas", "Bread", "Eggs"],
    "-shelf": ["Eggs", "Bread", "Atlas", "Cats"],
    "titleLength": ["Cats", "Eggs", "Atlas", "Bread"],
    "-titleLength": ["Bread", "Atlas", "Eggs", "Cats"],
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_pages_sorted_by_what_may_be_null_have_all(changing_books: TestClient, kind: str) -> None:
    eggs = {"title": "Eggs", "weight": "-0", "bookId": KEYS[9], "author": ADA, "editor": None}
    created = changing_books.post("/books/BookAuthors", json=eggs).json()
    assert created == changing_books.get(f"/books/BookAuthors/{KEYS[9]}").json()
    # What is not null sorts alike whatever else is shown.
    sorts = SORTED if kind in {"BookOut", "BookDetail"} else ["shelf", "-shelf"]
    for sort, limit in product(sorts, (1, 3)):
        path, found = f"/books/{kind}?sort={sort}&limit={limit}", []
        while path:
            response = changing_books.get(path)
            assert response.status_code == 200, response.text
            found += [book["title"] for book in response.json()]
            path = response.links["next"]["url"] if response.links else ""
        assert found == SORTED[sort], (sort, limit)


class Coloured(StoreOut):
    colour: str


class Chain(StoreOut):
    products: list[str]


class Deep(ProductOut):
    store: list[StoreOut]


class Both(ProductOut, StoreOut):
    pass


class FolderOut(Out):
    folder_id: Key


class Tree(FolderOut):
    folders: list["Tree"]


class FolderWithFolders(FolderOut):
    folders: list[FolderOut]


class FolderDetail(FolderOut):
    folders: list[FolderWithFolders]


class Folders(SQLModel, registry=registry()):
    """The base of a table that is not in the library."""


class Folder(FolderOut, Folders, table=True):
    __tablename__ = "parents"  # as the objects are called that have lists

    parent_id: UUID | None = Field(default=None, foreign_key="parents.folder_id")
    folders: Mapped[list["Folder"]] = Relationship(
        sa_relationship_kwargs={"order_by": "Folder.folder_id"}
    )


class Wanting(ProductOut):
    stores: Annotated[int, Count("stores")] = 0


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (Coloured, "Coloured.colour is no column, relationship, Count or Sum of Store"),
        (Chain, "Chain.products is no column, relationship, Count or Sum of Store"),
        (Deep, "Deep.store must be one object, as its relationship is"),
        (Both, "Both could show Product and Store: derive it from what only one has"),
        (Wanting, "Wanting.stores: Product has no relationship stores"),
        (Tree, "Tree.folders shows Tree again, without an end: name a class that does not"),
    ],
)
def test_member_that_nothing_backs_is_refused_at_the_start(schema: Any, sentence: str) -> None:
    extras = Router(prefix="/extras", tags=["extras"])

    @extras.get("")
    async def list_extras() -> list[schema]:
        return []

    app = FastAPI()
    app.include_router(extras)
    with pytest.raises(TypeError, match=sentence):
        check_schemas(iter_route_contexts(app.routes))


def test_table_that_refers_to_itself_is_searched_alone() -> None:
    condition = col(Folder.parent_id).is_(None)
    query = projection_of(FolderOut).select(condition, limit=bindparam("limit"))
    assert "JOIN" not in str(query)


def test_lists_in_lists_of_its_own_table_are_read_by_key_and_in_pages(books: TestClient) -> None:
    database = database_of(books)
    top, middle, bottom = KEYS[1:4]
    folders = [
        {"folder_id": UUID(key), "parent_id": parent and UUID(parent)}
        for key, parent in ((top, None), (middle, top), (bottom, middle))
    ]

    page = [col(Folder.parent_id).is_(None)]

    async def read_top() -> list[Any]:
        async with database.writer.begin() as connection:
            await connection.run_sync(Folders.metadata.create_all)
            await connection.execute(insert(Folder), folders)
        try:
            found = []
            for statement, values in (
                (database.statement(by_key(FolderDetail)), {"key": UUID(top)}),
                database.listing(FolderDetail, Keyset.of(Folder), page),
            ):
                rows, processors = await database.rows(statement, {"limit": 2} | values)
                found += projection_of(FolderDetail).objects(rows, processors)
            return found
        finally:
            async with database.writer.begin() as connection:
                await connection.run_sync(Folders.metadata.drop_all)

    assert books.portal is not None
    shown = [one.model_dump(mode="json", by_alias=True) for one in books.portal.call(read_top)]
    below = {"folderId": middle, "folders": [{"folderId": bottom}]}
    assert shown == [{"folderId": top, "folders": [below]}] * 2


def test_sort_by_what_is_no_column_is_refused_at_the_start() -> None:
    class ColourPage(Page):
        sort: Literal["colour"] | None = None

    extras = Router(prefix="/extras", tags=["extras"])

    @extras.get("")
    async def list_extras(read: Read, page: Annotated[ColourPage, Query()]) -> list[StoreOut]:
        return await read.page(StoreOut, page)

    app = FastAPI()
    app.include_router(extras)
    with pytest.raises(TypeError, match="Store has no column colour to sort by"):
        check_schemas(iter_route_contexts(app.routes))


def test_parameter_of_the_query_that_was_meant_for_the_path_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    things = APIRouter(prefix="/things/{thingId}")

    @things.get("/bad")
    def get_bad(thing_id: UUID) -> None: ...

    @things.get("/good/{store_id}")
    def get_good(
        thing_id: Annotated[UUID, Path(alias="thingId")], store_id: UUID, some_id: UUID
    ) -> None: ...

    @things.get("/untaken")
    def get_untaken() -> None: ...

    app = FastAPI()
    app.include_router(things)
    warn_of_parameters(iter_route_contexts(app.routes))
    assert caplog.messages == [
        'GET /things/{thingId}/bad has `thing_id` in its query: write `Path(alias="thingId")` if'
        " the path is meant"
    ]


@needs_shortcuts  # or parameters look otherwise on PostgreSQL
@pytest.mark.usefixtures("changing_books")
def test_statements_are_those_that_were_reviewed(
    books: TestClient, database_url: str, statements: Statements
) -> None:
    sections = []
    for kind, schema in SCHEMAS.items():
        statements.texts.clear()
        assert books.get(f"/books/{kind}/{KEYS[5]}").is_success
        assert books.get(f"/books/{kind}?limit=2&shelf=B&sort=shelf").is_success
        text = "".join(map(laid_out, statements.texts))
        sections.append(f"-- {kind}: {str(schema.__doc__).splitlines()[0]}\n{text}")
    statements.texts.clear()
    body = shown("BookDetail", BOOKS[0]) | {"bookId": KEYS[8]}
    del body["status"], body["titleLength"]
    assert books.post("/books/BookDetail", json=body).is_success
    sections.append("-- BookDetail, inserted\n" + "".join(map(laid_out, statements.texts)))
    statements.texts.clear()
    body = shown("BookGenres", BOOKS[0]) | {"bookId": KEYS[9]}
    del body["status"], body["titleLength"]
    assert books.post("/books/BookGenres", json=body).is_success
    sections.append("-- BookGenres, inserted\n" + "".join(map(laid_out, statements.texts)))
    check_sql("library", database_url, sections)


# --- Decimals -----------------------------------------------------------------------------

WEIGHTS: TypeAdapter[Decimal] = TypeAdapter(Annotated[Decimal, decimal(9, 3)])


@pytest.mark.parametrize("value", [2, 2.5, "2.5", "-2", "0002", 123456.789, "-0"])
def test_decimal_is_a_number_or_plain_text(value: Any) -> None:
    assert WEIGHTS.validate_python(value) == Decimal(str(value))
    schema = WEIGHTS.json_schema()
    assert any(
        isinstance(value, str) == (kind["type"] == "string")
        and re.search(kind.get("pattern", ""), str(value)) is not None
        for kind in schema["anyOf"]
    )
    assert re.search(WEIGHTS.json_schema(mode="serialization")["pattern"], str(value))


@pytest.mark.parametrize(
    "value",
    [
        True,
        "1e1",
        " 2.5 ",
        "1_000",
        "+1",
        ".5",
        "2.",
        "",
        "\u0663",
        "Infinity",
        "2.5001",
        "1234567",
    ],
)
def test_decimal_of_another_form_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        WEIGHTS.validate_python(value)
    for kind in WEIGHTS.json_schema()["anyOf"]:
        is_of_this_kind = isinstance(value, str) and kind["type"] == "string"
        assert not is_of_this_kind or re.search(kind["pattern"], value) is None


def test_decimal_has_bounds() -> None:
    number = {"type": "number", "minimum": -999999.999, "maximum": 999999.999, "multipleOf": 0.001}
    assert number in WEIGHTS.json_schema()["anyOf"]
    assert WEIGHTS.validate_python(999999.999) == Decimal("999999.999")
