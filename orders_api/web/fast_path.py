"""Calls most endpoints as FastAPI would, but without the steps for what they do not ask for.

An endpoint that asks for anything else than here (a header, a form, a dependency of its own, a
stream) is called by FastAPI itself.
"""

from collections.abc import Awaitable, Callable
from dataclasses import fields
from inspect import iscoroutinefunction
from typing import Any

from fastapi import Request, Response, params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.utils import request_body_to_args
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.routing import RouteContext
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

RequestHandler = Callable[[Request], Awaitable[Response]]

KNOWN = {
    *("path_params", "query_params", "body_params", "dependencies", "request_param_name"),
    *("name", "call", "path", "scope", "use_cache"),
}

OPTIONS = ("include", "exclude", "exclude_unset", "exclude_defaults", "exclude_none")


def build_fast_handler(
    route: RouteContext, dependencies: set[Callable[..., Any]]
) -> RequestHandler | None:
    """Return what calls the endpoint of a route where it is included, if it asks for no more than:

    some of these dependencies, each of which takes the request alone; parameters in the path; a
    model of all parameters of the query; one model as JSON.
    """
    dependant, answer = route.dependant, route.response_field
    call: Any = dependant.call
    others = {
        field.name
        for field in fields(dependant)
        if field.name not in KNOWN and getattr(dependant, field.name)
    }
    answers_otherwise = not isinstance(route.response_class, DefaultPlaceholder) or any(
        getattr(route, f"response_model_{option}") for option in OPTIONS
    )
    is_streamed = route.is_json_stream or route.stream_item_field
    is_form = any(isinstance(field.field_info, params.Form) for field in dependant.body_params)
    if (
        others
        or not iscoroutinefunction(call)
        or answers_otherwise
        or is_form
        or is_streamed
        or route.max_body_size is not None
        or not {dependency.call for dependency in dependant.dependencies} <= dependencies
        or not all(f"{{{field.alias}}}" in str(route.path) for field in dependant.path_params)
        or not all(_is_model(field) for field in dependant.query_params)
        or len(dependant.query_params) > 1
        or len(dependant.body_params) > 1
    ):
        return None

    path_params = [
        (field.name, field.alias, field.validate, ("path", field.alias))
        for field in dependant.path_params
    ]

    async def handle(request: Request) -> Response:
        values: dict[str, Any] = {}
        errors: list[Any] = []
        for name, alias, validate, loc in path_params:
            values[name], found = validate(request.path_params[alias], values, loc=loc)
            errors += found
        for field in dependant.query_params:
            query = dict(request.query_params)
            values[field.name], found = field.validate(query, values, loc=("query",))
            errors += found
        if dependant.body_params:
            body = await request.json() if await request.body() else PydanticUndefined
            more, found = await request_body_to_args(
                body_fields=dependant.body_params, received_body=body, embed_body_fields=False
            )
            values |= more
            errors += found
        if errors:
            raise RequestValidationError(errors)
        for dependency in dependant.dependencies:
            values[str(dependency.name)] = await dependency.call(request)
        if dependant.request_param_name:
            values[dependant.request_param_name] = request
        result = await call(**values)
        if isinstance(result, Response):
            return result
        if answer is None:
            return Response(status_code=route.status_code or 200)
        result, wrong = answer.validate(result, {}, loc=("response",))
        if wrong:
            raise ResponseValidationError(errors=wrong, body=result)
        content = answer.serialize_json(result, by_alias=True)
        return Response(content, route.status_code or 200, media_type="application/json")

    return handle


def _is_model(field: Any) -> bool:
    annotation = field.field_info.annotation
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
