"""The index of trigrams on SQLite is right whatever writes to the file, and may be left out."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest
from alembic import command
from alembic.config import Config
from fastapi import Query
from fastapi.testclient import TestClient
from sqlmodel import col

from orders_api.app import create_app
from orders_api.models import Store, StoreOut
from orders_api.settings import Settings
from orders_api.storage import trigrams
from orders_api.storage.migrations import MIGRATIONS, migrate
from orders_api.web import Page, Read, search
from tests.conftest import local_client, recorded_statements
from tests.samples import new_product, new_store

BEFORE = "087731f57f07"
"""The revision before the index."""


@pytest.fixture
def file(tmp_path: Path, migrated_file: Path) -> Path:
    return Path(shutil.copy(migrated_file, tmp_path / "orders.db"))


def url(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest.fixture
def client(file: Path) -> Iterator[TestClient]:
    with local_client(create_app(Settings(database_url=url(file)))) as client:
        yield client


def execute(file: Path, *statements: str) -> None:
    """Run statements as another program does, which has only what SQLite has."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def indexed(file: Path) -> set[tuple[str, str]]:
    """Return each trigram with the key of each product that has it, as the index knows them."""
    with closing(sqlite3.connect(file)) as connection:
        vocabulary = "fts5vocab(main, products_trgm, instance)"
        connection.execute(f"CREATE VIRTUAL TABLE temp.v USING {vocabulary}")
        query = "SELECT term, key FROM temp.v JOIN products_trgm_keys ON id = doc"
        return set(connection.execute(query).fetchall())


def expected(file: Path) -> set[tuple[str, str]]:
    """Return the same of the products that there are."""
    with closing(sqlite3.connect(file)) as connection:
        products = connection.execute("SELECT name, description, product_id FROM products")
        return {
            (text.lower()[start : start + 3], key)
            for name, description, key in products
            for text in (name, description or "")
            for start in range(len(text) - 2)
        }


def check(file: Path, *names: str) -> None:
    """Check that these products are there, and that the index has them and no other."""
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT name FROM products ORDER BY name").fetchall()
    assert [name for (name,) in found] == sorted(names)
    assert indexed(file) == expected(file)


# --- What writes to the file --------------------------------------------------------------


def test_endpoints_keep_the_index(client: TestClient, file: Path) -> None:
    store = new_store(client)
    atlas = new_product(client, store, name="Atlas", description="Leather")
    globe = new_product(client, store, name="Globe")
    check(file, "Atlas", "Globe")
    client.patch(f"/products/{atlas['productId']}", json={"name": "Map", "description": None})
    client.patch(f"/products/{globe['productId']}", json={"price": 3})
    check(file, "Map", "Globe")
    assert client.delete(f"/products/{globe['productId']}").status_code == 204
    check(file, "Map")
    tried = {"storeId": store["storeId"], "name": "Tried", "price": 1}
    done = client.post("/products", json=tried, headers={"prefer": "tx=rollback"})
    assert done.status_code == 201
    check(file, "Map")


def test_import_keeps_the_index(client: TestClient, file: Path) -> None:
    store = new_store(client)["storeId"]
    names = [f"Volume {n}" for n in range(20)]
    lines = [f'{{"storeId": "{store}", "name": "{name}", "price": 1}}' for name in names]
    twice = "\n".join([*lines, lines[7]])
    headers = {"content-type": "application/jsonl"}
    refused = client.post("/products/import", content=twice, headers=headers)
    assert refused.status_code == 409, refused.text
    check(file)
    done = client.post("/products/import?skipBad=true", content=twice, headers=headers)
    assert done.status_code == 200, done.text
    check(file, *names)


def test_import_inserts_many_rows_by_one_statement(client: TestClient) -> None:
    store = new_store(client)["storeId"]
    lines = [f'{{"storeId": "{store}", "name": "Volume {n}", "price": 1}}' for n in range(100)]
    with recorded_statements(client) as statements:
        headers = {"content-type": "application/jsonl"}
        assert client.post("/products/import", content="\n".join(lines), headers=headers).is_success
    (inserted,) = (text for text in statements.texts if text.startswith("INSERT INTO products"))
    assert inserted.count("(?, ") == 100


STORE = (
    "INSERT INTO stores (store_id, version, name, city, country, currency, street, zipcode)"
    " VALUES ('s', 1, 'Shop', 'City', 'Land', 'EUR', 'Road', '1')"
)
PRODUCT = "INTO products (product_id, store_id, name, description, price, version) VALUES"


def test_other_programs_keep_the_index(file: Path) -> None:
    execute(
        file,
        STORE,
        f"INSERT {PRODUCT} ('a', 's', 'Atlas', 'Éditions', 1, 1), ('b', 's', 'Globe', NULL, 1, 1)",
        f"INSERT {PRODUCT} ('c', 's', 'ÖSTERREICH', 'ÅÄÖ', 1, 1), ('d', 's', 'Tea', '', 1, 1)",
    )
    check(file, "Atlas", "Globe", "ÖSTERREICH", "Tea")
    execute(
        file,
        "UPDATE products SET name = 'Map ' || name WHERE product_id < 'c'",
        "UPDATE products SET product_id = 'e', description = 'new' WHERE product_id = 'c'",
        "DELETE FROM products WHERE name = 'Tea'",
        f"INSERT OR IGNORE {PRODUCT} ('a', 's', 'Ignored', NULL, 1, 1)",
    )
    check(file, "Map Atlas", "Map Globe", "ÖSTERREICH")
    execute(file, "DELETE FROM products")
    check(file)


def test_replaced_rows_are_found(file: Path) -> None:
    execute(
        file,
        STORE,
        f"INSERT {PRODUCT} ('a', 's', 'Atlas', NULL, 1, 1), ('b', 's', 'Globe', NULL, 1, 1)",
        f"REPLACE {PRODUCT} ('a', 's', 'Charts', NULL, 1, 1), ('c', 's', 'Globe', NULL, 2, 1)",
        f"INSERT {PRODUCT} ('b', 's', 'Plans', NULL, 1, 1)",
    )
    # SQLite calls no trigger for a row that is replaced, so that the index may have too much.
    assert expected(file) <= indexed(file)


@pytest.mark.parametrize("statement", ["VACUUM", "VACUUM INTO '{}'"])
def test_numbers_survive_what_may_change_rowids(file: Path, tmp_path: Path, statement: str) -> None:
    many = ", ".join(f"('{n}', 's', 'Product {n}', NULL, 1, 1)" for n in range(300))
    execute(file, STORE, f"INSERT {PRODUCT} {many}", "DELETE FROM products WHERE product_id < '2'")
    copy = tmp_path / "copy.db"
    execute(file, statement.format(copy))
    assert indexed(copy if copy.exists() else file) == expected(file) != set()


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the command sqlite3")
def test_dump_can_be_restored(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    execute(file, STORE, f"INSERT {PRODUCT} ('z', 's', 'Gone', NULL, 1, 1)")
    execute(file, "DELETE FROM products", f"INSERT {PRODUCT} ('a', 's', 'Atlas', NULL, 1, 1)")
    dump = subprocess.run(["sqlite3", file, ".dump"], capture_output=True, check=True).stdout
    subprocess.run(["sqlite3", copy], input=dump, check=True)
    execute(copy, f"INSERT {PRODUCT} ('b', 's', 'Globe', NULL, 1, 1)")
    check(copy, "Atlas", "Globe")


# --- Migrations ---------------------------------------------------------------------------


def configuration(file: Path, migrations: Path = MIGRATIONS) -> Config:
    config = Config(attributes={"url": Settings(database_url=url(file)).url})
    config.set_main_option("script_location", str(migrations))
    return config


def objects(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT name FROM sqlite_master WHERE name LIKE '%trgm%'"
        return {name for (name,) in connection.execute(query)}


def test_commands_that_look_leave_an_index_to_the_next_migration(file: Path) -> None:
    config = configuration(file)
    whole = objects(file)
    execute(file, *(f"DROP TRIGGER products_trgm_{name}" for name in trigrams.TRIGGERS))
    broken = objects(file)
    command.current(config)
    command.check(config)
    assert objects(file) == broken != whole
    command.upgrade(config, "head")
    assert objects(file) == whole


def test_migration_fills_the_index_and_can_be_undone(file: Path) -> None:
    config = configuration(file)
    made = objects(file)
    assert {"products_trgm", "stores_trgm"} < made
    command.downgrade(config, BEFORE)
    assert objects(file) == set()
    execute(file, STORE, f"INSERT {PRODUCT} ('a', 's', 'Atlas', 'Leather', 1, 1)")
    command.upgrade(config, "head")
    assert objects(file) == made
    check(file, "Atlas")
    command.check(config)


BATCH = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "another", "{head}"
def upgrade():
    with op.batch_alter_table("products") as batch:
        batch.alter_column("{column}", type_=sa.String(300), new_column_name="{new}")
    op.execute("UPDATE products SET price = 2, {new} = 'changed' WHERE product_id = 'b'")
def downgrade():
    pass
"""


def migrate_with(file: Path, tmp_path: Path, **names: str) -> None:
    """Add a migration that makes the table of products anew, and run it."""
    shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    another = tmp_path / "migrations" / "versions" / "another.py"
    another.write_text(BATCH.format(head=configuration_head(file), **names), "utf-8")
    command.upgrade(configuration(file, tmp_path / "migrations"), "head")


def configuration_head(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_batch_migration_keeps_the_index(file: Path, tmp_path: Path) -> None:
    rows = f"INSERT {PRODUCT} ('b', 's', 'B', 'old', 1, 1), ('c', 's', 'Charts', NULL, 1, 1)"
    execute(file, STORE, f"INSERT {PRODUCT} ('a', 's', 'Gone', NULL, 1, 1)", rows)
    execute(file, "DELETE FROM products WHERE product_id = 'a'")
    migrate_with(file, tmp_path, column="description", new="description")
    check(file, "B", "Charts")
    execute(file, "UPDATE products SET name = 'Maps' WHERE product_id = 'c'")
    check(file, "B", "Maps")


def test_batch_migration_that_renames_an_indexed_column_says_so(file: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no such column: description"):
        migrate_with(file, tmp_path, column="description", new="blurb")
    execute(file, STORE, f"INSERT {PRODUCT} ('a', 's', 'Atlas', 'Leather', 1, 1)")
    check(file, "Atlas")


# --- Without FTS5 -------------------------------------------------------------------------


class Old(sqlite3.Connection):
    """A connection to a library without FTS5."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if "fts5" in sql:
            raise sqlite3.OperationalError("no such module: fts5")
        return super().execute(sql, *values)


@contextmanager
def without_fts5() -> Iterator[None]:
    trigrams.has_trigrams.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Old))
        assert not trigrams.has_trigrams()
    yield
    trigrams.has_trigrams.cache_clear()


def names(client: TestClient, path: str) -> list[str]:
    return [one["name"] for one in client.get(path).json()]


def test_library_of_these_tests_has_trigrams() -> None:
    assert trigrams.has_trigrams()


def test_without_fts5_every_row_is_read(tmp_path: Path) -> None:
    file = tmp_path / "orders.db"
    with without_fts5(), local_client(create_app(Settings(database_url=url(file)))) as client:
        assert objects(file) == set()
        new_product(client, name="Atlas")
        assert names(client, "/products?q=ATL") == ["Atlas"]
        command.check(configuration(file))
        command.downgrade(configuration(file), BEFORE)
        command.upgrade(configuration(file), "head")
    with local_client(create_app(Settings(database_url=url(file)))) as client:
        assert names(client, "/products?q=ATL") == ["Atlas"]


def test_file_with_the_index_can_be_used_without_fts5_and_with_it_again(file: Path) -> None:
    settings = Settings(database_url=url(file))
    with without_fts5():
        migrate(settings.url)  # as `serve` does
        assert not any("insert" in name for name in objects(file))  # no trigger that would fail
        with local_client(create_app(settings)) as client:
            new_product(client, name="Atlas")
            assert names(client, "/products?q=ATL") == ["Atlas"]
    assert indexed(file) == set()
    with local_client(create_app(settings)) as client:
        assert names(client, "/products?q=ATL") == ["Atlas"]  # every row is read until then:
        migrate(settings.url)
        check(file, "Atlas")
        assert names(client, "/products?q=ATL") == ["Atlas"]


def test_column_that_is_not_in_the_index_is_read_in_every_row(file: Path) -> None:
    class StorePage(Page):
        q: Annotated[str | None, search(col(Store.name), col(Store.city))] = None

    app = create_app(Settings(database_url=url(file)))

    @app.get("/found")
    async def found(read: Read, page: Annotated[StorePage, Query()]) -> list[StoreOut]:
        return await read.page(StoreOut, page)

    with local_client(app) as client:
        store = new_store(client, city="Lisbon")
        assert client.get("/found?q=LISB").json() == [store]
