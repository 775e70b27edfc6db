"""One thin module for each resource, all in the same order: list, create, get, update, delete.

A new module is found by itself, with each Router in it.
"""

from importlib import import_module
from pkgutil import iter_modules

from orders_api.web import Router

# The documentation begins with these, and the index of `/` too.
FIRST = ("service", "stores", "products", "orders", "coupons", "users")


def routers() -> list[Router]:
    names = [module.name for module in iter_modules(__path__)]
    names.sort(key=lambda name: (*FIRST, name).index(name))
    modules = [import_module(f"{__name__}.{name}") for name in names]
    return [value for m in modules for value in vars(m).values() if isinstance(value, Router)]
