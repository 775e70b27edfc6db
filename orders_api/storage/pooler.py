"""Connections to PostgreSQL as they begin, which may lead to PgBouncer or its like."""

from typing import Any

from sqlalchemy.pool import ConnectionPoolEntry


def set_up_connection(connection: Any, record: ConnectionPoolEntry) -> None:
    """Listen to SQLAlchemy's event `connect`.

    Times are in UTC, whatever the server's time zone is: in another one those at the ends of the
    calendar are beyond the years that Python knows. And they are written as ISO 8601 has it, which
    is all that psycopg reads. (PgBouncer remembers both for each client.)

    Through a pooler nothing is prepared: a statement stays prepared in one process of the server,
    and each transaction may have another one, in which the name is unknown or means another
    statement. A pooler is known by the process it has named at the start (PgBouncer: a random
    number), which is not the one that answers.
    """
    cursor = connection.cursor()
    cursor.execute(
        "SELECT pg_backend_pid(), set_config('TimeZone', 'UTC', false),"
        " set_config('DateStyle', 'ISO', false)"
    )
    process, *_ = cursor.fetchone()
    cursor.close()
    connection.commit()
    driver: Any = record.driver_connection
    if driver.info.backend_pid != process:
        driver.prepare_threshold = None
