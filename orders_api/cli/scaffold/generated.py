"""What is generated from the code of a copy: `python -m orders_api.cli.scaffold.generated`.

With a message it is a migration too, from a database of no other use.
"""

import sys
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config

from orders_api.cli.common import openapi_text
from orders_api.settings import Settings
from orders_api.storage.migrations import migrate


def generate(message: str | None) -> None:
    if message:
        migrate(Settings().url)
        command.revision(Config("alembic.ini", stdout=StringIO()), message, autogenerate=True)
    Path("tests", "openapi.json").write_text(openapi_text(), "utf-8")


if __name__ == "__main__":
    generate(" ".join(sys.argv[1:]))
