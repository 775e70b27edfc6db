"""Whether requests can be served."""

from fastapi import Request

from orders_api.problems import Problem
from orders_api.storage.engines import Database


async def check_readiness(request: Request) -> None:
    """Answer 503 unless the database answers and its schema is current."""
    database: Database = request.app.state.database
    if advice := await database.schema_advice():
        raise Problem.not_migrated(advice)
