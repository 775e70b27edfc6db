"""The private parts of libraries that shortcuts to the database use.

A version may lack them. Then the ordinary way is taken, which does without them.
"""

import logging
import pkgutil

log = logging.getLogger("orders_api")

PRIVATE_NAMES = {
    "sqlite": ["sqlalchemy.sql.cache_key:HasCacheKey._generate_cache_key"],
    "postgresql": [
        "sqlalchemy.sql.cache_key:HasCacheKey._generate_cache_key",
        "psycopg._preparing:Prepare.SHOULD",
        "psycopg._preparing:PrepareManager.get",
        "psycopg._preparing:PrepareManager.maybe_add_to_cache",
        "psycopg._preparing:PrepareManager.validate",
        "psycopg._preparing:PrepareManager.maintain_gen",
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
    if missing:
        log.warning("No shortcuts to the database, as there is no %s", ", ".join(missing))
    return not missing
