"""Whether requests can be served."""

from fastapi import Request

from orders_api.problems import Problem
from orders_api.storage.engines import Database
from orders_api.storage.migrations import head_revision


async def check_readiness(request: Request) -> None:
    """Answer 503 unless the database answers and its schema is current."""
    database: Database = request.app.state.database
    current, head = await database.current_revision(), head_revision()
    if current != head:
        raise Problem.not_migrated(
            f"The schema is at revision {current}, the code at {head}: `orders-api migrate`."
        )
