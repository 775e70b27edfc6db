"""What the OpenAPI document says of every operation alike, so that no route has to say it."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Table

from orders_api.problems import INVALID, MEDIA_TYPE, Problem, ProblemOut
from orders_api.web.line_bodies import MEDIA_TYPES
from orders_api.web.prefer import COUNT, MINIMAL, ROLLBACK
from orders_api.web.problem_responses import (
    Routes,
    document_problems,
    problem_types_of,
    routes_of,
    table_behind,
)
from orders_api.web.routing import Route

Object = dict[str, Any]

HEADERS: dict[str, Object] = {
    "X-Request-ID": {
        "description": "The id of the request: the caller's own if it sent a sane one.",
        "required": True,
        "schema": {"type": "string", "maxLength": 128},
    },
    "Location": {
        "description": "Where the new object is.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "ETag": {
        "description": "The entity tag of this state of the object (RFC 9110).",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9a-f]{32}"$'},
    },
    "Link": {
        "description": 'The whole URL of the next page, if more follow, as `<…>; rel="next"`.',
        "schema": {"type": "string"},
    },
    "X-Total-Count": {
        "description": f"How many objects all pages have, if `{COUNT}` was preferred.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Preference-Applied": {
        "description": "Those of the preferences in `Prefer` that the answer goes by.",
        "schema": {"type": "string"},
    },
    "Idempotent-Replayed": {
        "description": "`true` if this is the kept answer to an earlier request.",
        "schema": {"type": "string", "const": "true"},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "const": "Bearer"}},
    "Retry-After": {
        "description": "Seconds to wait before the next attempt.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
}

EXAMPLES: dict[str, Any] = {
    "name": "Os Lusíadas",
    "unitPrice": 19.99,
    "quantity": 2,
    "lineTotal": 39.98,
    "currency": "EUR",
    "subtotal": 39.98,
    "discount": 4.0,
    "total": 35.98,
    "couponCode": "PIOTR",
    "percentOff": 10,
    "remainingCount": 99,
    "date": "2026-11-20T22:04:45.089346Z",
    "access_token": "e462c9172fea758b1feb746855957a4f05914fde84c6a500c6d601ff8f015e87",
}
"""What answers show of members that have no example of their own."""

IDEMPOTENCY_KEY: Object = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes it safe to send the request again: it has effect once in 24 hours.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
IF_MATCH: Object = {
    "name": "If-Match",
    "in": "header",
    "description": "The `ETag` of the state that is to be changed; 412 if there is another by now.",
    "schema": {"type": "string"},
}
IF_NONE_MATCH: Object = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of the state that is known already; 304 if it is still the same.",
    "schema": {"type": "string"},
}


def _prefer(*words: str) -> Object:
    description = f"{' '.join(words)} Other preferences are ignored (RFC 7240)."
    return {
        "name": "Prefer",
        "in": "header",
        "description": description,
        "schema": {"type": "string"},
    }


ROLLS_BACK = f"`{ROLLBACK}`: do it for an answer as always, and keep nothing of it."
PREFER = _prefer(ROLLS_BACK)
PREFER_COUNT = _prefer(f"`{COUNT}`: count what the filters leave, for the `X-Total-Count` header.")
PREFER_MINIMAL = _prefer(ROLLS_BACK, f"`{MINIMAL}`: answer without a body.")


def complete_document(app: FastAPI) -> None:
    """Add problems, headers, links and examples to what FastAPI documents by itself."""
    make = app.openapi

    def openapi() -> Object:
        if app.openapi_schema is None:
            _complete(make(), routes_of(app))
        return make()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _complete(document: Object, routes: Routes) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which nobody gets
        schemas.pop(name, None)
    components["headers"] = HEADERS
    flows = {"password": {"tokenUrl": "token", "scopes": {}}}
    components["securitySchemes"] = {"bearer": {"type": "oauth2", "flows": flows}}
    for path, item in document["paths"].items():
        for name, operation in item.items():
            route = routes.get(path, {}).get(name.upper())
            if route:
                table = table_behind(path, name.upper(), routes)
                _add_what_routes_do(operation, path, name, route, table)
            elif "422" in operation["responses"]:
                operation["responses"]["422"] = document_problems(INVALID)[422]
            parameters = operation.get("parameters", [])
            responses = operation["responses"]
            if route:
                _leave_out_summary(operation)
            if "201" in responses:
                responses["201"]["links"] = dict(_links(document["paths"], path))
            for status, response in responses.items():
                response["headers"] = response.get("headers", {}) | {
                    name: {"$ref": f"#/components/headers/{name}"}
                    for name in _response_headers(status, response, route, parameters)
                }
                for media_type, body in response.get("content", {}).items():
                    if media_type == "application/json":
                        body.setdefault("example", _example(body["schema"], schemas))
            for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
                example = _example(body["schema"], schemas)
                if media_type in MEDIA_TYPES:
                    lines = [one | body.get("example", {}) for one in example]
                    example = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in lines)
                body["example"] = example
            if "422" in responses:
                _name_what_is_invalid(operation, schemas)


def _add_what_routes_do(
    operation: Object, path: str, method: str, route: Route, table: Table | None
) -> None:
    """Say what a Router does for an operation: its problems, its sign-in, and its headers."""
    own = {
        status: response
        for status, response in operation["responses"].items()
        if status != "422" or MEDIA_TYPE in response["content"]  # else it is FastAPI's own
    }
    problem_types = problem_types_of(path, method.upper(), route.public, table)
    problems = document_problems(*problem_types)
    operation["responses"] = {str(status): one for status, one in problems.items()} | own
    if not route.public:
        operation["security"] = [{"bearer": []}]
    parameters = list(_request_headers(method, operation, route))
    if parameters:
        operation["parameters"] = operation.get("parameters", []) + parameters
    if IF_NONE_MATCH in parameters:
        operation["responses"]["304"] = {"description": "Not modified"}
    if PREFER_MINIMAL in parameters and "201" not in operation["responses"]:
        description = f"Done, if it is to be `{MINIMAL}`"
        operation["responses"]["204"] = {"description": description}


def _leave_out_summary(operation: Object) -> None:
    """Leave the first line of a docstring out of the description, where it is the summary."""
    text = operation.get("description", "")
    if text.startswith(operation["summary"]):
        operation["description"] = text.partition("\n")[2].strip()
    if not operation.get("description"):
        operation.pop("description", None)


def _name_what_is_invalid(operation: Object, schemas: Object) -> None:
    """Let the example of an invalid request be one of this operation's own members."""
    json_body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if json_body:
        members = _resolved(json_body["schema"], schemas).get("properties", {}).items()
        names = [
            name for name, member in members if {"type": "null"} not in member.get("anyOf", ())
        ]
        error = {"pointer": "/colour", "detail": "is not known here"}
        if names:
            error = {"pointer": f"/{names[0]}", "detail": "must not be null"}
    else:
        error = {"parameter": "colour", "detail": "is not known here"}
    example = operation["responses"]["422"]["content"][MEDIA_TYPE]["examples"]["invalid"]
    example["value"] = Problem.invalid([error]).content(example["value"]["requestId"])


def _request_headers(method: str, operation: Object, route: Route) -> Iterator[Object]:
    creates = "201" in operation["responses"]
    if creates:
        yield IDEMPOTENCY_KEY
    if route.is_item:
        yield IF_NONE_MATCH if method == "get" else IF_MATCH
    if any(parameter["name"] == "after" for parameter in operation.get("parameters", ())):
        yield PREFER_COUNT
    if method != "get" and not route.public:
        yield PREFER_MINIMAL if creates or method in {"patch", "put"} else PREFER


def _response_headers(
    status: str, response: Object, route: Route | None, parameters: list[Object]
) -> Iterator[str]:
    yield "X-Request-ID"
    if status < "300" and any(parameter["name"] == "Prefer" for parameter in parameters):
        yield "Preference-Applied"
    if status < "300" and PREFER_COUNT in parameters:
        yield "X-Total-Count"
    match status, response:
        case "201", _ if route:
            yield from ("Location", "ETag", "Idempotent-Replayed")
        case "200", _ if route and route.is_item:
            yield "ETag"
        case "200", {"content": {"application/json": {"schema": {"type": "array"}}}} if route:
            yield "Link"
        case "204", _ if PREFER_MINIMAL in parameters:
            yield "ETag"
        case "304" | "412", _:
            yield "ETag"
        case "401", _:
            yield "WWW-Authenticate"
        case "429" | "503", _:
            yield "Retry-After"


def _links(paths: Object, collection: str) -> Iterator[tuple[str, Object]]:
    """Link the answer to a `POST` with all that can be done to the object that it created."""
    for path, item in paths.items():
        parent, _, key = path.rpartition("/")
        if parent == collection and key.startswith("{"):
            key = key.strip("{}")
            for operation in item.values():
                name = operation["operationId"]
                parameters = {key: f"$response.body#/{key}"}
                yield name, {"operationId": name, "parameters": parameters}


def _resolved(schema: Object, schemas: Object) -> Object:
    """Follow a `$ref`."""
    found: Object = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _example(schema: Object, schemas: Object, name: str = "") -> Any:
    """Put an example together from those of the members, wherever they are nested."""
    if "$ref" in schema:
        return _example(_resolved(schema, schemas), schemas)
    if name in EXAMPLES and "examples" not in schema:
        return EXAMPLES[name]
    match schema:
        case {"examples": [example, *_]} | {"default": example} | {"enum": [example, *_]}:
            return example
        case {"properties": properties}:
            return {name: _example(member, schemas, name) for name, member in properties.items()}
        case {"items": items}:
            return [_example(items, schemas)]
        case {"anyOf": [first, *_]}:
            return _example(first, schemas)
        case {"format": "uuid"}:
            return "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b"
        case {"const": example}:
            return example
    if "type" not in schema:
        return None  # anything may be there
    return {"string": "text", "boolean": False, "object": {}}.get(
        schema["type"], schema.get("minimum", 1)
    )
