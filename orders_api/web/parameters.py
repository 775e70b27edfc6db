"""The query parameters that a route takes."""

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from fastapi import params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute, RouteContext

ELSEWHERE = (params.Path, params.Header, params.Cookie)
SEVERAL = (list, set, frozenset, tuple)


def query_parameters(route: APIRoute | RouteContext) -> Iterator[tuple[str, bool]]:
    """Return the name of each parameter, and whether it may be given several times."""
    for field in get_flat_params(route.dependant):
        if not isinstance(field.field_info, ELSEWHERE):
            yield field.validation_alias or field.alias, takes_several(field.field_info.annotation)


def takes_several(annotation: Any) -> bool:
    """Tell whether a parameter has a list of values: `list[str]` or `set[UUID] | None`, say."""
    origin = get_origin(annotation) or annotation
    if origin in (Union, types.UnionType):
        return any(takes_several(choice) for choice in get_args(annotation))
    return isinstance(origin, type) and issubclass(origin, SEVERAL)
