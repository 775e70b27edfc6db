"""What servers import: `uvicorn orders_api.main:app`."""

import gc

from orders_api.app import create_app
from orders_api.settings import Settings

app = create_app(Settings())

# What is there by now stays until the end. To look through it for garbage again and again took
# 80 milliseconds each time, for all requests at once.
gc.freeze()
# A page of products is some hundred objects, of which none is garbage that only gc would find.
gc.set_threshold(10_000, 20, 20)
