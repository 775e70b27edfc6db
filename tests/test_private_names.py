"""What happens where the installed version of a library lacks a name that a shortcut uses."""

import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.routing import RouteContext
from starlette.routing import Match

from orders_api.app import create_app
from orders_api.settings import Settings
from orders_api.storage import private_names
from orders_api.storage.private_names import PRIVATE_NAMES, has_private_names
from orders_api.web.route_table import RouteTable
from tests.conftest import database_of, local_client
from tests.resources import UNKNOWN
from tests.samples import problem

NAMES = [(database, name) for database, names in PRIVATE_NAMES.items() for name in names]


@pytest.mark.parametrize("database", PRIVATE_NAMES)
def test_installed_versions_have_all_names(database: str, caplog: pytest.LogCaptureFixture) -> None:
    assert has_private_names(database)
    assert not caplog.messages


@pytest.mark.parametrize(("database", "name"), NAMES)
def test_name_that_is_gone_is_logged(
    database: str, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module, _, path = name.partition(":")
    owner, has_owner, _ = path.partition(".")
    if has_owner:
        monkeypatch.setattr(sys.modules[module], owner, type(owner, (), {}))
    else:
        monkeypatch.delattr(sys.modules[module], owner)
    assert not has_private_names(database)
    (line,) = caplog.messages
    assert name in line


@pytest.mark.parametrize(("database", "name"), NAMES)
def test_module_that_is_gone_is_logged(
    database: str, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, name.partition(":")[0], None)
    assert not has_private_names(database)
    (line,) = caplog.messages
    assert name in line


def test_attribute_that_connections_no_longer_have_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Connection(psycopg.AsyncConnection[Any]):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            del self._prepared

    monkeypatch.setattr(psycopg, "AsyncConnection", Connection)
    assert not has_private_names("postgresql")
    (line,) = caplog.messages
    assert "psycopg:AsyncConnection._prepared" in line


def test_database_is_used_without_shortcuts(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for database in PRIVATE_NAMES:
        monkeypatch.setitem(private_names.PRIVATE_NAMES, database, ["sqlalchemy:_gone"])
    # It would fail where one of its names is gone.
    monkeypatch.setitem(sys.modules, "orders_api.storage.postgresql", None)
    with local_client(create_app(Settings(database_url=database_url, shortcuts=True))) as client:
        assert not database_of(client).shortcuts
        assert client.get("/stores").json() == []
    assert len([line for line in caplog.messages if "sqlalchemy:_gone" in line]) == 1


@pytest.mark.parametrize("name", ["path_regex", "is_json_stream", "response_model_by_alias"])
def test_requests_go_the_way_of_fastapi(
    name: str,
    migrated_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = RouteContext.__getattr__

    def lacking(self: RouteContext, asked: str) -> Any:
        if asked == name:
            raise AttributeError(f"no {name}")
        return found(self, asked)

    monkeypatch.setattr(RouteContext, "__getattr__", lacking)
    app = create_app(Settings(database_url=f"sqlite:///{migrated_file}", shortcuts=True))
    table = app.routes[0]
    assert isinstance(table, RouteTable)
    with local_client(app) as client:
        assert client.get("/stores").json() == []
        problem(client.get(f"/stores/{UNKNOWN}"), 404, "not-found")
    assert table.matches({"type": "http", "method": "GET", "path": "/stores"})[0] is Match.NONE
    assert [line for line in caplog.messages if f"no {name}" in line] == [
        f"All requests go FastAPI's way, because of its version: no {name}"
    ]
