"""Calls most endpoints as FastAPI would, but without the steps for what they do not ask for.

An endpoint that asks for anything else than here (a header, a form, a dependency of its own, a
stream) is called by FastAPI itself. `docs/design.md` lists what is used of FastAPI's insides.
"""

from collections.abc import Awaitable, Callable
from dataclasses import fields
from inspect import iscoroutinefunction
from typing import Any

from fastapi import Request, Response, params
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.routing import RouteContext
from pydantic import BaseModel
from starlette.convertors import StringConvertor

from orders_api.web.parameters import takes_several

RequestHandler = Callable[[Request], Awaitable[Response]]

KNOWN = {
    *("path_params", "query_params", "body_params", "dependencies", "request_param_name"),
    *("name", "call", "path", "scope", "use_cache"),
}

OPTIONS = ("include", "exclude", "exclude_unset", "exclude_defaults", "exclude_none")


def build_fast_handler(
    route: RouteContext, dependencies: set[Callable[..., Any]]
) -> RequestHandler | None:
    """Return a handler that calls the endpoint of a route; None if that is left to FastAPI.

    The endpoint may ask for some of these dependencies, each of which takes the request alone, for
    parameters in the path, a model of all parameters of the query, and one model as JSON. It must
    answer with what its annotation says, or with 204.
    """
    dependant, answer = route.dependant, route.response_field
    call: Any = dependant.call
    others = {
        field.name
        for field in fields(dependant)
        if field.name not in KNOWN and getattr(dependant, field.name)
    }
    answers_otherwise = (
        isinstance(route.response_class, type)
        or any(getattr(route, f"response_model_{option}") for option in OPTIONS)
        or not route.response_model_by_alias
        or (answer is None) != (route.status_code == 204)
    )
    is_streamed = route.is_json_stream or route.stream_item_field
    if (
        others
        or not iscoroutinefunction(call)
        or answers_otherwise
        or is_streamed
        or route.max_body_size is not None
        or not all(
            dependency.name and dependency.call in dependencies
            for dependency in dependant.dependencies
        )
        or not all(
            isinstance(route.param_convertors.get(field.alias), StringConvertor)
            for field in dependant.path_params
        )
        or not all(_is_plain_model(field) for field in dependant.query_params)
        or len(dependant.query_params) > 1
        or not all(_is_whole_body(field) for field in dependant.body_params)
        or len(dependant.body_params) > 1
    ):
        return None

    path_params = [
        (field.name, field.alias, field.validate, ("path", field.alias))
        for field in dependant.path_params
    ]
    query_params = [(field.name, field.validate) for field in dependant.query_params]
    body_params = [(field.name, field.validate) for field in dependant.body_params]
    others_by_name = [(str(given.name), given.call) for given in dependant.dependencies]
    request_name = dependant.request_param_name
    status = route.status_code or 200
    validate, serialize = (answer.validate, answer.serialize_json) if answer else (None, None)

    async def handle(request: Request) -> Response:
        values: dict[str, Any] = {}
        errors: list[Any] = []
        for name, alias, check, loc in path_params:
            values[name], found = check(request.path_params[alias], values, loc=loc)
            errors += found
        for name, check in query_params:
            values[name], found = check(dict(request.query_params), values, loc=("query",))
            errors += found
        body = None
        for name, check in body_params:
            if await request.body():
                body = await request.json()
                values[name], found = check(body, values, loc=("body",))
                errors += found
            else:
                errors.append(MISSING_BODY)
        if errors:
            raise RequestValidationError(errors, body=body)
        for name, dependency in others_by_name:
            values[name] = await dependency(request)
        if request_name:
            values[request_name] = request
        result = await call(**values)
        if isinstance(result, Response):
            return result
        if validate is None or serialize is None:
            return Response(status_code=status)
        result, wrong = validate(result, {}, loc=("response",))
        if wrong:
            raise ResponseValidationError(errors=wrong, body=result)
        content = serialize(result, by_alias=True)
        return Response(content, status, media_type="application/json")

    return handle


MISSING_BODY = {"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}


def _is_plain_model(field: Any) -> bool:
    """Tell whether a query is one model, in which each parameter has one value."""
    model = field.field_info.annotation
    return (
        isinstance(model, type)
        and issubclass(model, BaseModel)
        and not any(takes_several(member.annotation) for member in model.model_fields.values())
    )


def _is_whole_body(field: Any) -> bool:
    """Tell whether a field is the body, which must be there, and neither a form nor a part."""
    info = field.field_info
    return not isinstance(info, params.Form) and not info.embed and bool(info.is_required())
