"""PgBouncer and its like, which stand before PostgreSQL and share its connections."""

from typing import Any

from sqlalchemy.pool import ConnectionPoolEntry


def prepare_nothing_through_pooler(connection: Any, record: ConnectionPoolEntry) -> None:
    """Listen to SQLAlchemy's event `connect`.

    A statement stays prepared in one process of the server, and each transaction may have another
    one, in which the name is unknown or means another statement. A pooler is known by the process
    it has named at the start (PgBouncer: a random number), which is not the one that answers.
    """
    cursor = connection.cursor()
    cursor.execute("SELECT pg_backend_pid()")
    (process,) = cursor.fetchone()
    cursor.close()
    connection.rollback()
    driver: Any = record.driver_connection
    if driver.info.backend_pid != process:
        driver.prepare_threshold = None
