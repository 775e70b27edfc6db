"""What `orders-api serve` says and does before uvicorn takes over."""

import errno
import os
import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, build_opener

from orders_api.cli.common import fail, plural

if TYPE_CHECKING:
    from orders_api.settings import Settings

MANY = 10_000  # rows of a table that are counted at most
PATIENCE = 60  # seconds until the server must answer, to open its page


def check_address(host: str, port: int) -> None:
    """End with one line if nobody can listen there; uvicorn would say it among others."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as listener:
            if sys.platform != "win32":  # where it would let others take the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except socket.gaierror:
        fail(f"There is no host {host}: leave out --host, or take an address of this machine.")
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                fail(f"Port {port} is taken: end what listens there, or take another --port.")
            case errno.EACCES:
                fail(f"Port {port} is not for everybody: take a --port from 1024 on.")
            case errno.EADDRNOTAVAIL:
                fail(f"{host} is no address of this machine: take another --host.")
        raise


def database_line(settings: "Settings") -> str:
    """Say where the data is and, if the database can be asked, how much there is."""
    from orders_api.settings import IN_MEMORY

    url = settings.url
    if settings.is_sqlite:
        where = "in memory" if url.database in IN_MEMORY else url.database
    else:
        port = f":{url.port}" if url.port else ""
        where = f"{url.database} on {url.host or 'this machine'}{port}"
    counts = " and ".join(", ".join(_counts(settings)).rsplit(", ", 1))
    return f"The database is {where}{f', with {counts}' if counts else ''}."


def _counts(settings: "Settings") -> list[str]:
    import sqlalchemy as sa

    from orders_api.models import Order, Product, Store
    from orders_api.settings import without_event_loop

    url = without_event_loop(settings.url)
    options: dict[str, Any] = {"timeout": 1} if settings.is_sqlite else {"connect_timeout": 2}
    counts = []
    try:
        engine = sa.create_engine(url, connect_args=options, poolclass=sa.NullPool)
        with engine.connect() as connection:
            for table in (Store, Product, Order):
                some = sa.select(sa.literal(1)).select_from(table).limit(MANY + 1).subquery()
                count = connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0
                text = plural(min(count, MANY), table.__name__.lower())
                counts.append(f"more than {text}" if count > MANY else text)
    except sa.exc.SQLAlchemyError:
        return []  # what is wrong with it the server says
    return counts


def open_when_ready(address: str) -> None:
    """Open the page in a browser as soon as the server answers, which runs meanwhile."""

    def wait() -> None:
        opener = build_opener(ProxyHandler({}))  # a proxy would not find this machine
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                with opener.open(f"{address}/health", timeout=PATIENCE):
                    break
            except OSError:
                time.sleep(0.1)
        else:
            return
        webbrowser.open(f"{address}/")

    threading.Thread(target=wait, daemon=True).start()


def reload_options() -> dict[str, Any]:
    """Start anew when the code of this package changes, wherever it is, or the settings do."""
    env_file = Path(os.environ.get("ENV_FILE") or ".env").absolute()
    package = Path(__file__).parents[1]
    folders = {package, package.with_name("migrations"), Path.cwd()}
    folders |= {env_file.parent} if env_file.is_file() else set()  # it may be /dev/null
    return {
        "reload_dirs": [str(folder) for folder in folders if folder.is_dir()],
        "reload_includes": ["*.py", "*.html", env_file.name],
    }
