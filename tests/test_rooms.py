"""The rooms of the package, as its imports have them: those anywhere in a file count."""

import ast
from graphlib import TopologicalSorter

import pytest

import orders_api
from tests.conftest import ROOT

PACKAGE = ROOT / orders_api.__name__
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
}

MAX_LINES = 300
LONGER = {
    "orders_api.models",  # a table: the members and rules of every resource, each written once
}

# What each room and each module beside them may import of the package, besides what is its own.
ALLOWED = {
    "field_types": {"problems"},
    "models": {"field_types", "problems"},
    "problems": set(),
    "settings": set(),
    "logs": {"settings"},
    "routes": {"models", "web"},
    "storage": {"field_types", "problems", "settings"},
    "web": {"logs", "models", "problems", "storage"},
    "bulk": {"models", "problems", "storage", "web"},
    "cli": {"app", "bulk", "logs", "models", "problems", "settings", "storage", "web"},
    "app": {"logs", "problems", "routes", "settings", "storage", "web"},
    "main": {"app", "settings"},
}


def imports(module: str) -> set[str]:
    """Name the modules of the package that a module imports, in functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            # Each name may be a module of a package, or what a module has.
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in FILES else str(node.module) for name in whole]
        found |= {name for name in names if name.partition(".")[0] == orders_api.__name__}
    assert found <= set(FILES)
    return found


def room(module: str) -> str:
    return module.split(".")[1]


MODULES = sorted(set(FILES) - {"orders_api"})


def test_every_room_has_its_rule() -> None:
    assert set(ALLOWED) == {room(module) for module in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_rooms_import_only_what_they_may(module: str) -> None:
    own = room(module)
    others = {room(name) for name in imports(module)} - {own}
    assert others <= ALLOWED[own]


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("orders_api.routes.")])
def test_routes_know_models_and_the_names_that_web_gives_them(module: str) -> None:
    assert imports(module) <= {"orders_api.models", "orders_api.web"}


def test_no_modules_import_each_other() -> None:
    order = TopologicalSorter({module: imports(module) for module in FILES}).static_order()
    assert set(order) == set(FILES)  # CycleError names the modules of a circle


def test_one_file_is_one_subject() -> None:
    lengths = {module: len(file.read_text("utf-8").splitlines()) for module, file in FILES.items()}
    assert {module for module, length in lengths.items() if length > MAX_LINES} == LONGER
