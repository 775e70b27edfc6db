import os
import subprocess
import sys
from pathlib import Path

import pytest
from uvicorn.config import STARTUP_FAILURE

from orders_api.app import create_app
from orders_api.settings import Settings, SettingsError
from tests.conftest import ROOT, local_client
from tests.samples import STORE, problem


def test_defaults_need_nothing_to_be_set() -> None:
    defaults = {
        "postgres_db": None,
        "database_pool_size": 10,
        "database_timeout": 4.0,
        "api_prefix": "",
        "log_level": "INFO",
        "max_head_bytes": 32768,
        "max_body_bytes": 1048576,
    }
    settings = Settings()
    assert settings.url.render_as_string() == "sqlite+aiosqlite:///orders.db"
    assert settings.model_dump(include=set(defaults)) == defaults


UTF8 = "client_encoding=utf8"


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("postgres://u:p@h:5433/d", f"postgresql+psycopg://u:p@h:5433/d?{UTF8}"),
        ("postgresql://u:p@h/d", f"postgresql+psycopg://u:p@h/d?{UTF8}"),
        ("postgresql+psycopg://h/d?user=u", f"postgresql+psycopg://h/d?{UTF8}&user=u"),
        ("postgresql:///d?host=/run/pg", f"postgresql+psycopg:///d?{UTF8}&host=%2Frun%2Fpg"),
        ("postgresql://h/d?client_encoding=sjis", "postgresql+psycopg://h/d?client_encoding=sjis"),
        ("sqlite:///relative.db", "sqlite+aiosqlite:///relative.db"),
        ("sqlite:////absolute/file.db", "sqlite+aiosqlite:////absolute/file.db"),
        ("sqlite://", "sqlite+aiosqlite://"),
        ("", "sqlite+aiosqlite:///orders.db"),
    ],
)
def test_database_url_is_taken_as_people_write_it(
    monkeypatch: pytest.MonkeyPatch, written: str, understood: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", written)
    assert Settings().url.render_as_string(hide_password=False) == understood


DATABASE_URL_IS_WRONG = (
    "DATABASE_URL is wrong: it must look like"
    " postgresql://user:password@host/database or sqlite:///orders.db."
)
CORS_ORIGINS_IS_WRONG = (
    "CORS_ORIGINS is wrong: it must be origins such as http://localhost:5173,"
    " with commas between them and no slash at the end, or * alone."
)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DATABASE_URL", "mysql://u:s3cret@h/d", DATABASE_URL_IS_WRONG),
        ("DATABASE_URL", "s3cret", DATABASE_URL_IS_WRONG),
        ("DATABASE_URL", "postgresql://u:s3cret@h:port/d", DATABASE_URL_IS_WRONG),
        ("DATABASE_URL", "sqlite://orders.db", DATABASE_URL_IS_WRONG),
        ("DATABASE_URL", "sqlite:///orders.db?mode=ro", DATABASE_URL_IS_WRONG),
        ("POSTGRES_DB", "x" * 64, "POSTGRES_DB is wrong: it must have at most 63 characters."),
        (
            "DATABASE_POOL_SIZE",
            "0",
            "DATABASE_POOL_SIZE is wrong: it must be greater than or equal to 1.",
        ),
        ("DATABASE_TIMEOUT", "0", "DATABASE_TIMEOUT is wrong: it must be greater than 0."),
        (
            "DATABASE_TIMEOUT",
            "nan",
            "DATABASE_TIMEOUT is wrong: it must be less than or equal to 3600.",
        ),
        ("DATABASE_TIMEOUT", "long", "DATABASE_TIMEOUT is wrong: it must be a valid number."),
        ("TRUST_LOCAL", "perhaps", "TRUST_LOCAL is wrong: it must be true or false."),
        ("API_PREFIX", "v1", "API_PREFIX is wrong: it must look like /v1."),
        ("API_PREFIX", "/v1?", "API_PREFIX is wrong: it must look like /v1."),
        *(
            ("CORS_ORIGINS", value, CORS_ORIGINS_IS_WRONG)
            for value in (
                "localhost:5173",
                "http://localhost:5173/",
                "http://localhost:5173/app",
                "http://localhost:x",
                "http://a b",
                "http://u:s3cret@h",
                "ftp://localhost",
                "http://*.example",
                "null",
                "*, http://localhost:5173",
                "http://localhost:5173,",
                ",",
            )
        ),
        (
            "LOG_LEVEL",
            "loud",
            "LOG_LEVEL is wrong: it must be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'.",
        ),
        (
            "MAX_BODY_BYTES",
            "-1",
            "MAX_BODY_BYTES is wrong: it must be greater than or equal to 0.",
        ),
        ("MAX_BODY_BYTES", "1 MB", "MAX_BODY_BYTES is wrong: it must be a valid integer."),
    ],
)
def test_wrong_value_ends_the_start_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    sentence: str,
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        Settings()
    assert refused.value.code == STARTUP_FAILURE
    assert capsys.readouterr() == ("", f"{sentence}\n")


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", ()),
        ("*", ("*",)),
        ("http://localhost:5173", ("http://localhost:5173",)),
        ("HTTP://Localhost:5173 , https://[::1]:8", ("http://localhost:5173", "https://[::1]:8")),
        # As browsers write them.
        (
            "http://a.example:80,https://a.example:443,https://a.example:80",
            ("http://a.example", "https://a.example", "https://a.example:80"),
        ),
    ],
)
def test_origins_are_a_list(
    monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", value)
    assert Settings().cors_origins == origins


@pytest.mark.slow
def test_server_with_a_wrong_setting_says_so_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "orders_api.main:app"],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": "mysql://u:s3cret@h/d"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("", f"{DATABASE_URL_IS_WRONG}\n")
    # uvicorn's supervisor of several workers starts those anew that end with another code.
    assert done.returncode == STARTUP_FAILURE


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cret@h/d", "postgresql://h/d?user=u&password=s3cret"]
)
def test_password_is_not_shown(url: str) -> None:
    settings = Settings(database_url=url)
    assert "s3cret" not in f"{settings!r} {settings}"


def test_postgres_db_replaces_the_name_of_a_postgresql_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POSTGRES_DB", "test")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@h/d?sslmode=require")
    url = Settings().url.render_as_string(hide_password=False)
    assert url == f"postgresql+psycopg://u:p@h/test?{UTF8}&sslmode=require"
    monkeypatch.setenv("DATABASE_URL", "sqlite:///orders.db")
    assert Settings().url.database == "orders.db"


def test_environment_goes_before_the_file_and_the_file_before_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("DATABASE_POOL_SIZE=20\nLOG_LEVEL=ERROR\nOTHER=1\n")
    (tmp_path / "test.env").write_text("DATABASE_POOL_SIZE=30\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENV_FILE")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    settings = Settings()
    assert (settings.database_pool_size, settings.log_level) == (20, "DEBUG")
    assert settings.database_timeout == 4.0

    monkeypatch.setenv("ENV_FILE", "test.env")
    assert Settings().database_pool_size == 30


def test_settings_file_that_cannot_be_read_ends_the_start_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, folder, utf16 = tmp_path / "missing.env", tmp_path, tmp_path / "utf16.env"
    utf16.write_text("LOG_LEVEL=ERROR", encoding="utf-16")
    for path, sentence in (
        (missing, f"ENV_FILE names {missing}, which is no file.\n"),
        (folder, f"ENV_FILE names {folder}, which is no file.\n"),
        (
            utf16,
            f"The settings in {utf16} cannot be read: 'utf-8' codec can't decode byte 0xff"
            " in position 0: invalid start byte.\n",
        ),
    ):
        monkeypatch.setenv("ENV_FILE", str(path))
        with pytest.raises(SettingsError):
            Settings()
        assert capsys.readouterr() == ("", sentence)


@pytest.mark.parametrize("prefix", ["/v1", "/v1/"])
def test_prefix_moves_everything_below_it(prefix: str) -> None:
    settings = Settings(database_url="sqlite://", api_prefix=prefix)
    with local_client(create_app(settings)) as client:
        for path in ("/v1", "/v1/"):
            index = client.get(path).json()
            assert index.pop("status") == "ok"
            for link in index.values():
                assert link.startswith("/v1/")
                assert client.get(link).status_code == 200
        assert "'/v1/openapi.json'" in client.get("/v1/docs").text
        paths = client.get("/v1/openapi.json").json()["paths"]
        assert {path for path in paths if not path.startswith("/v1/")} == set()

        created = [client.post("/v1/stores", json=STORE) for _ in range(2)]
        assert created[0].headers["location"] == f"/v1/stores/{created[0].json()['storeId']}"
        assert client.get(created[0].headers["location"]).json() == created[0].json()
        page = client.get("/v1/stores", params={"limit": 1})
        assert page.headers["link"].startswith("<http://localhost/v1/stores?")
        assert client.get(page.links["next"]["url"]).json() == [created[1].json()]

        for path in ("/", "/stores", "/health", "/docs", "/openapi.json"):
            problem(client.get(path), 404, "not-found")
