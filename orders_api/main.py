"""What servers import: `uvicorn orders_api.main:app`."""

from orders_api.app import create_app
from orders_api.settings import Settings

app = create_app(Settings())
