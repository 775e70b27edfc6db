"""The private parts of libraries that shortcuts to the database use.

A version may lack them. Then the ordinary way is taken, which does without them.
"""

import logging
import pkgutil
from typing import Any

log = logging.getLogger("orders_api")

SQLALCHEMY = [
    "sqlalchemy.sql.cache_key:HasCacheKey._generate_cache_key",
    "sqlalchemy.sql.compiler:SQLCompiler.positiontup",
    "sqlalchemy.sql.elements:BindParameter.effective_value",
    "sqlalchemy.exc:DBAPIError.instance",
]
PRIVATE_NAMES = {
    "sqlite": [*SQLALCHEMY, "aiosqlite:Connection._conn"],
    "postgresql": [
        *SQLALCHEMY,
        "psycopg._preparing:Prepare.SHOULD",
        "psycopg._preparing:PrepareManager.key",
        "psycopg._preparing:PrepareManager.get",
        "psycopg._preparing:PrepareManager.maybe_add_to_cache",
        "psycopg._preparing:PrepareManager.validate",
        "psycopg._preparing:PrepareManager.maintain_gen",
        "psycopg.generators:fetch_many",
        "psycopg.generators:send",
    ],
}


def has_private_names(database: str) -> bool:
    """Tell whether the installed versions have what is used for a database, and log what not."""
    missing = []
    for name in PRIVATE_NAMES[database]:
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            missing.append(name)
    if database == "postgresql" and not hasattr(_unconnected(), "_prepared"):
        missing.append("psycopg:AsyncConnection._prepared")
    if missing:
        log.warning("No shortcuts to the database, as there is no %s", ", ".join(missing))
    return not missing


def _unconnected() -> Any:
    """Make a connection to nowhere: what each has of its own, the class does not show."""
    import psycopg  # which SQLite does not need

    return psycopg.AsyncConnection(psycopg.pq.PGconn.connect(b"nowhere"))
