"""One thin module for each resource, all in the same order: list, create, get, update, delete.

A new module is found by itself.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

# The documentation begins with these, and the index of `/` too.
FIRST = ("service", "stores", "products", "orders")


def route_modules() -> list[ModuleType]:
    names = [module.name for module in iter_modules(__path__)]
    names.sort(key=lambda name: (*FIRST, name).index(name))
    return [import_module(f"{__name__}.{name}") for name in names]
