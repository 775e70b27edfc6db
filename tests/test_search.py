"""`q` finds what contains it in any case, as `lower` says, whatever the index of trigrams knows."""

import asyncio
import re
import sqlite3
import sys
from collections import defaultdict
from contextlib import closing
from typing import Annotated, Literal
from urllib.parse import quote

import httpx2
import psycopg
import pytest
from fastapi import Query
from fastapi.testclient import TestClient
from sqlalchemy import func, literal, select
from sqlmodel import col

from orders_api.app import create_app
from orders_api.models import Store, StoreOut
from orders_api.settings import Settings
from orders_api.storage.search import trigrams_of
from orders_api.web import Page, Read, search
from tests.conftest import database_of, local_client
from tests.samples import new_product, new_store

CASED = [char for char in map(chr, range(sys.maxunicode + 1)) if char.lower() != char]
"""All characters that `lower` changes."""


# --- What the trigrams of a text are ------------------------------------------------------


# At the start, within and at the end of a word, where Greek has a sigma of its own.
@pytest.mark.parametrize(
    "frame", ["{}xyz", "xy{}za", "xyz{}", "xyz{}. A", "a{0}{0}{0}b", "{0}{0}{0}"]
)
def test_trigrams_lose_no_character_that_changes_in_lower_case(frame: str) -> None:
    forms = {form for char in CASED for form in (char, *char.lower(), char.upper())}
    texts = [frame.format(form) for form in sorted(forms)]
    same = defaultdict(set)
    for number, text in enumerate(texts):
        same[text.lower()].add(number)
    with closing(sqlite3.connect(":memory:")) as index:
        index.execute("CREATE VIRTUAL TABLE i USING fts5(x, detail=none, tokenize='trigram')")
        index.executemany("INSERT INTO i (rowid, x) VALUES (?, ?)", enumerate(texts))
        query = "SELECT 1 FROM i WHERE i MATCH ? AND rowid = ?"
        for text in texts:
            match = trigrams_of(text)
            for number in same[text.lower()] if match else ():
                assert index.execute(query, (match, number)).fetchone(), (text, texts[number])


def test_trigrams_know_letters_in_use() -> None:
    for word in ("évora", "STRASSE", "weiß", "Οδυσσέας", "ПРИВЕТ", "日本語", "😀😀😀", "ski"):
        assert trigrams_of(word), word
    assert (
        trigrams_of("\uab70\uab71\uab72") is None
    )  # small letters of Cherokee came with Unicode 8


# --- What is found ------------------------------------------------------------------------

NAMES = [
    *("İSTANBUL", "istanbul", "Taxİ", "taxi", "SKİ", "ski", "i̇stanbul", "ISTANBUL"),
    *("STRAẞE", "Straße", "STRASSE", "ΟΔΥΣΣΕΎΣ", "οδυσσεύς", "οδυσσεύσ", "ΣΣΣ"),
    *("300 \u212a", "300 K", "300 k", "\u212bngström", "Ångström", "A\u030angstro\u0308m"),
    *("100% cotton", "100 % cotton", "snake_case", "snake case", "a/b/c", 'say "hello"', "it's me"),
    *("😀😀😀", "😀😀", "a😀b", "\ufffe\ufffe\ufffe", "\uffff\uffff\uffff", "\ufffd\ufffd\ufffd"),
    *("\u13a0\u13a1\u13a2", "\uab70\uab71\uab72", "ᲐᲑᲒ", "აბგ", "𐐀𐐁𐐂", "𐐨𐐩𐐪"),
    *("\ua7ac\u0261\u0261", "\u0261\u0261\u0261", "OR AND NOT", "a\tb\nc"),
    "ab" + "c" * 100,
]  # fmt: skip
VALUES = [
    *NAMES,
    *("tax", "xi", "i", "\u0307", "ski", "ß", "raß", "ύς", "ύσ", "σσε", "k", "0 k", "ström"),
    *("%", "0%", "00% ", "_", "e_c", '"', '"hello"', '""', "'", "t's", "/", "/b/", "\\", "😀"),
    *("é", "*", "^ab", "name:say", "(", "   ", "c" * 200, "".join(map(chr, range(0x4E00, 0x4EC8)))),
]  # fmt: skip


def test_q_finds_what_contains_it_in_lower_case(client: TestClient) -> None:
    store = new_store(client)
    names = [f"{number} {name}" for number, name in enumerate(NAMES)]
    for name in names:
        new_product(client, store, name=name, description=None)
    lower = in_lower_case(client, [*names, *VALUES])
    for value in VALUES:
        response = client.get(f"/products?limit=200&q={quote(value)}")
        found = [product["name"] for product in response.json()]
        assert found == [name for name in names if lower[value] in lower[name]], value


def in_lower_case(client: TestClient, texts: list[str]) -> dict[str, str]:
    """Return what `lower` of the database says, which differs from Python's on PostgreSQL."""
    database, portal = database_of(client), client.portal
    assert portal is not None

    async def ask() -> dict[str, str]:
        async with database.reader.connect() as connection:
            lower = {
                text: await connection.scalar(select(func.lower(literal(text)))) or ""
                for text in texts
            }
        if database.is_sqlite:  # whose LIKE takes what is no character for what stands for one
            return {text: re.sub("[\ufffe\uffff]", "\ufffd", lower[text]) for text in texts}
        return lower

    return portal.call(ask)


# --- How many there may be at once --------------------------------------------------------


@pytest.mark.parametrize("path", ["/stores?q=a", "/towns?q=a", "/towns?q=a&sort=name"])
def test_searches_have_a_quarter_of_the_connections(database_url: str, path: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("What takes long has a pool of its own there.")

    class TownPage(Page):
        q: Annotated[str | None, search(col(Store.city))] = None
        sort: Literal["name"] | None = None

    app = create_app(
        Settings(database_url=database_url, database_pool_size=8, database_timeout=600)
    )

    @app.get("/towns")
    async def find_towns(read: Read, page: Annotated[TownPage, Query()]) -> list[StoreOut]:
        return await read.page(StoreOut, page)

    async def ask() -> None:
        transport = httpx2.ASGITransport(app, client=("127.0.0.1", 50000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            with psycopg.connect(database_url) as postgresql:
                postgresql.execute("LOCK TABLE stores IN ACCESS EXCLUSIVE MODE")
                searches = [asyncio.create_task(http.get(path)) for _ in range(8)]
                for _ in range(10_000):
                    if waiting(postgresql) == 2:
                        break
                    await asyncio.sleep(0.001)
                assert (await http.get("/todos")).status_code == 200
                assert waiting(postgresql) == 2
            for answer in await asyncio.gather(*searches):
                assert answer.json() == []

    with local_client(app) as client:
        assert client.portal is not None
        client.portal.call(ask)


def waiting(postgresql: psycopg.Connection) -> int:
    query = "SELECT count(*) FROM pg_locks WHERE relation = 'stores'::regclass AND NOT granted"
    ((count,),) = postgresql.execute(query).fetchall()
    return int(count)
