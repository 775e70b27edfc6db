"""`orders-api create-user` and `revoke-tokens`, on both databases."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orders_api.cli.commands import app
from tests.conftest import Postgres
from tests.live import http, local_server

PASSWORD = "correct horse"


@pytest.fixture
def url(
    database_url: str, migrated_file: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> str:
    """A database of its own, migrated."""
    if database_url == "sqlite://":
        return f"sqlite:///{shutil.copy(migrated_file, tmp_path)}"
    if Postgres.server is None:
        pytest.skip("TEST_DATABASE_URL has no second database")
    return Postgres.create_migrated(request.function.__name__)


def run(url: str, *arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=text, env={"DATABASE_URL": url})


def test_created_user_signs_in_until_the_tokens_are_revoked(url: str, tmp_path: Path) -> None:
    result = run(url, "create-user", "Ada", "--password-stdin", text=f"{PASSWORD}\r\n")
    assert (result.exit_code, result.output) == (0, "Ada may sign in from now on.\n")
    settings = {"DATABASE_URL": url, "TRUST_LOCAL": "false"}
    with local_server(tmp_path, **settings) as address:
        form = {"username": "ada", "password": PASSWORD}
        token = http.post(f"{address}/token", data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert http.get(f"{address}/orders").status_code == 401
        assert http.get(f"{address}/orders", headers=headers).status_code == 200
        result = run(url, "revoke-tokens", "ADA")
        assert (result.exit_code, result.output) == (0, "ADA is signed out (1 token).\n")
        assert http.get(f"{address}/orders", headers=headers).status_code == 401


def test_password_is_asked_for_twice_and_not_shown(url: str) -> None:
    result = run(url, "create-user", "ada", text=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0
    assert "Password" in result.output
    assert PASSWORD not in result.output


@pytest.mark.parametrize(
    ("arguments", "text", "sentence"),
    [
        (["create-user", "ab"], PASSWORD, "The username must have at least 3 characters."),
        (["create-user", "ada"], "short", "The password must have at least 8 characters."),
        (["create-user", "ada"], "", "The password must have at least 8 characters."),
        (["create-user", "EVE"], PASSWORD, "Another one with the same username exists already."),
        (["revoke-tokens", "nobody"], "", "There is no user nobody."),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    url: str, arguments: list[str], text: str, sentence: str
) -> None:
    run(url, "create-user", "eve", "--password-stdin", text=PASSWORD)
    options = ["--password-stdin"] if arguments[0] == "create-user" else []
    result = run(url, *arguments, *options, text=text)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"{sentence}\n")


def test_missing_schema_and_unreachable_server_are_said_in_a_sentence() -> None:
    unreachable = "postgresql://someone:s3cret@127.0.0.1:1/orders"
    result = run(unreachable, "create-user", "ada", "--password-stdin", text=PASSWORD)
    assert (result.exit_code, result.stderr) == (
        1,
        'The database does not answer: connection failed: connection to server at "127.0.0.1",'
        " port 1 failed: Connection refused.\n",
    )
    if Postgres.server is not None:
        empty = Postgres.create("empty")
        result = run(empty, "create-user", "ada", "--password-stdin", text=PASSWORD)
        assert result.exit_code == 1
        assert "run `orders-api migrate`" in result.stderr
