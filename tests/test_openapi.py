"""The OpenAPI document says what the contract says."""

import json
import re
from typing import Any

import jsonschema_rs
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import UniqueConstraint
from sqlmodel import SQLModel
from typer.testing import CliRunner

from orders_api.app import create_app
from orders_api.cli import commands
from orders_api.models import In
from orders_api.problems import PROBLEM_TYPES, ProblemOut
from orders_api.settings import Settings
from orders_api.web import Router
from tests.conftest import ROOT
from tests.resources import DOCUMENT, OPERATIONS, RESOURCES, Resource, each_resource, resolved
from tests.samples import create, problem

SOME_ID = "01a1fab7-dbdc-74d8-8e14-fd8c30a0df91"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return DOCUMENT


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_document_is_the_one_that_is_kept(document: dict[str, Any]) -> None:
    """Kept, in the same order too, so that a review sees just what a change does to clients."""
    kept = (ROOT / "tests" / "openapi.json").read_text("utf-8")
    hint = "Refresh it with: uv run orders-api openapi >tests/openapi.json"
    assert json.loads(kept) == document, hint
    assert kept == CliRunner().invoke(commands.app, ["openapi"]).stdout, hint


def test_each_operation_has_a_short_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(ids)) == len(ids)
    verbs = "list|create|get|update|replace|delete|import|export"
    others = [i for i in ids if not re.fullmatch(f"({verbs})[A-Z][A-Za-z]+", i)]
    assert others == ["index"], f"Begin the name of the function with one of {verbs}"


def conflicts_of(name: str) -> list[str]:
    """Return the problems with status 409 that an operation may have, by its table's constraints.

    Its table has the name of the last part of its path that is one.
    """
    if name == "POST /orders":
        return ["used-up"]  # a rule of the coupon's, which is no constraint of an order
    method, path = name.split()
    tables = SQLModel.metadata.tables
    parts = path.replace("-", "_").split("/")
    own = next((tables[part] for part in reversed(parts) if part in tables), None)
    if own is None:
        return []
    is_unique = any(isinstance(rule, UniqueConstraint) for rule in own.constraints)
    if method in {"POST", "PUT", "PATCH"} and is_unique:
        return ["already-exists"]
    is_referred_to = any(
        key.column.table is own and not key.ondelete
        for table in tables.values()
        for key in table.foreign_keys
    )
    return ["in-use"] if method == "DELETE" and is_referred_to else []


def test_each_operation_documents_its_errors_with_one_schema(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(document)
    for name, operation in operations(document).items():
        errors = {s: r for s, r in operation["responses"].items() if int(s) >= 400}
        expected = {"422", "500", "503"}
        if "{" in name:
            expected |= {"404"}
        if name.startswith(("POST", "PUT", "PATCH")):
            expected |= {"400", "413", "415"}
        if name.startswith(("PUT", "PATCH", "DELETE")) and "{" in name:
            expected |= {"412"}
        if operation.get("security"):
            expected |= {"401"}
        if name == "POST /token":
            expected |= {"401", "429"}
        if name in {"PATCH /users/{userId}", "DELETE /users/{userId}"}:
            expected |= {"403"}
        conflicts = conflicts_of(name)
        if conflicts:
            expected |= {"409"}
        assert set(errors) == expected, name
        for status, response in errors.items():
            ((media_type, content),) = response["content"].items()
            assert media_type == "application/problem+json", (name, status)
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        if conflicts:
            content = errors["409"]["content"]["application/problem+json"]
            assert list(content["examples"]) == conflicts


def test_each_problem_of_an_operation_is_listed_with_an_example(document: dict[str, Any]) -> None:
    kinds = {kind.name: kind for kind in PROBLEM_TYPES}
    for operation in operations(document).values():
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            examples = response["content"]["application/problem+json"]["examples"]
            for name, example in examples.items():
                kind, value = kinds[name], example["value"]
                assert f"{kind.title} (`{kind.type}`)" in response["description"]
                assert (value["type"], value["title"]) == (kind.type, kind.title)
                assert value["status"] == kind.status == int(status)
                ProblemOut.model_validate(value)


def test_example_of_an_invalid_request_is_what_the_operation_answers(
    document: dict[str, Any], client: TestClient
) -> None:
    for name, operation in operations(document).items():
        method, path = name.split()
        content = operation["responses"]["422"]["content"]["application/problem+json"]
        expected = content["examples"]["invalid"]["value"]
        (error,) = expected["errors"]
        path = re.sub("{.*?Id}", "1" if "todo" in path else SOME_ID, path)
        if "parameter" in error:
            response = client.request(method, path, params={error["parameter"]: "1"})
        else:
            body = operation["requestBody"]["content"]["application/json"]["example"]
            response = client.request(method, path, json=body | {error["pointer"][1:]: None})
        answer = problem(response, 422, "invalid")
        assert answer == expected | {"requestId": answer["requestId"]}, name


def test_examples_of_answers_are_what_the_schemas_say(document: dict[str, Any]) -> None:
    examples = 0
    for name, operation in operations(document).items():
        for response in operation["responses"].values():
            if content := response.get("content", {}).get("application/json"):
                schema = content["schema"] | {"components": document["components"]}
                assert jsonschema_rs.is_valid(schema, content["example"]), name
                examples += 1
    assert examples >= 28


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """Return the document of an application with endpoints that no resource has."""

    class Note(In):
        text: str | None = None
        stars: int = 1

    class Blank(In):
        text: str | None = None

    router = Router(prefix="/notes")

    @router.put("/last")
    async def replace_note(_: Note) -> dict[str, int]:
        """Replace a note."""
        return {"stars": 1}

    @router.put("/blank")
    async def replace_blank(_: Blank) -> None:
        """Replace a note."""

    app = create_app(Settings(database_url="sqlite://"))
    app.include_router(router)
    return app.openapi()


def test_example_of_an_answer_of_any_members_has_none(documented: dict[str, Any]) -> None:
    responses = documented["paths"]["/notes/last"]["put"]["responses"]
    assert responses["200"]["content"]["application/json"]["example"] == {}


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/notes/last", {"pointer": "/stars", "detail": "must not be null"}),
        ("/notes/blank", {"pointer": "/colour", "detail": "is not known here"}),
    ],
)
def test_example_of_an_invalid_body_breaks_what_it_says(
    documented: dict[str, Any], path: str, error: dict[str, str]
) -> None:
    content = documented["paths"][path]["put"]["responses"]["422"]["content"]
    example = content["application/problem+json"]["examples"]["invalid"]["value"]
    assert example["errors"] == [error]


def test_example_of_the_form_to_sign_in_is_accepted(
    document: dict[str, Any], client: TestClient
) -> None:
    user, form = (
        next(iter(operations(document)[name]["requestBody"]["content"].values()))["example"]
        for name in ("POST /users", "POST /token")
    )
    create(client, "/users", user)
    assert client.post("/token", data=form).status_code == 200


def ids_in(operation: str) -> dict[str, str]:
    """Return the members of a body that refer to others, and the name of the id of each."""
    for resource in RESOURCES:
        if operation == f"POST {resource.collection}":
            example = resource.content("POST")["example"]
            return {
                name: key
                for name, (other, key) in resource.references.items()
                if name in example and key == other.key and other != resource
            }
    return {}


def parts_of_form(document: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Return the example of a form; a member without the name of a file is plain text."""
    members = document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
    return {
        key: ("a.txt" if "contentMediaType" in members["properties"][key] else None, value)
        for key, value in body["example"].items()
    }


def test_examples_succeed_one_after_the_other(document: dict[str, Any], client: TestClient) -> None:
    made: dict[str, Any] = {}  # the ids that answers give, and the token

    def filled(example: Any, ids: dict[str, str]) -> Any:
        if isinstance(example, list):
            return [filled(item, ids) for item in example]
        if isinstance(example, dict):
            known = {name: made[key] for name, key in ids.items() if name in example}
            return {n: known.get(n, made.get(n, filled(v, ids))) for n, v in example.items()}
        return example

    # What is deleted others refer to.
    waiting = {n: o for n, o in operations(document).items() if not n.startswith("DELETE ")}
    while waiting:
        before = len(waiting)
        for name, operation in [*waiting.items()]:
            method, path = name.split()
            ids = ids_in(name)
            if {*ids.values(), *re.findall(r"{(\w+)}", path)} - made.keys():
                continue  # until what it refers to is made
            del waiting[name]
            options: dict[str, Any] = {}
            for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
                match media_type:
                    case "application/json":
                        options = {"json": filled(body["example"], ids)}
                    case "application/x-www-form-urlencoded":
                        options = {"data": body["example"]}
                    case "multipart/form-data":
                        options = {"files": parts_of_form(document, body)}
                    case "application/jsonl":
                        content = json.dumps(filled(json.loads(body["example"]), ids))
                        options = {"content": content, "headers": {"content-type": media_type}}
            response = client.request(method, path.format_map(made), **options)
            assert response.is_success, (name, options, response.text)
            if response.status_code == 201:
                made |= {key: id_ for key, id_ in response.json().items() if key.endswith("Id")}
        assert len(waiting) < before, waiting.keys()
    assert client.get("/orders").json()[0]["couponCode"] is None


@each_resource()
def test_bodies_forbid_unknown_members_and_answers_require_all(resource: Resource) -> None:
    for method in {"POST"} | resource.methods & {"PUT", "PATCH"}:
        schema = resource.content(method)["schema"]
        assert schema["additionalProperties"] is False
        assert method == "POST" or "required" not in schema
    for path in (resource.collection, resource.item):
        content = OPERATIONS[f"GET {path}"]["responses"]["200"]["content"]["application/json"]
        answer = resolved(content["schema"].get("items", content["schema"]))
        assert sorted(answer["required"]) == sorted(answer["properties"])


def test_nested_objects_are_as_strict(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["OrderItemIn"]["additionalProperties"] is False
    item = schemas["OrderItemOut"]
    assert sorted(item["required"]) == sorted(item["properties"])


def test_money_is_described_exactly(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    number = {"type": "number", "minimum": 0, "maximum": 9999999999.99, "multipleOf": 0.01}
    text = {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,2})?$"}
    assert schemas["ProductIn"]["properties"]["price"]["anyOf"] == [number, text]
    assert {k: schemas["ProductDetail"]["properties"]["price"][k] for k in number} == number


def test_each_parameter_is_named_as_the_client_sends_it(document: dict[str, Any]) -> None:
    names = {
        parameter["name"]
        for operation in operations(document).values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] != "header"
    }
    assert names > {"after", "minPrice", "storeId", "couponCode"}
    assert [
        name for name in names if not re.fullmatch("[a-z][a-z0-9]*([A-Z][a-z0-9]*)*", name)
    ] == []


def test_each_operation_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        assert re.fullmatch(r"[A-Z].*[^.]", operation["summary"]), name
        assert operation.get("description", ".").endswith("."), name
        assert operation["tags"], name


def test_first_line_of_a_docstring_is_the_summary_and_the_rest_the_description() -> None:
    router = Router(prefix="/shelves")

    @router.get("/short")
    async def list_short() -> None:
        """List what is short."""

    @router.get("/long")
    async def list_long() -> None:
        """List what is long.

        It takes longer.
        """

    @router.get("/own", summary="A summary of its own")
    async def list_own() -> None:
        """List what has a summary."""

    @router.get("/without")
    async def list_without() -> None:
        pass

    app = create_app(Settings(database_url="sqlite://"))
    app.include_router(router)
    paths = app.openapi()["paths"]
    described = {
        path.rpartition("/")[2]: (item["get"]["summary"], item["get"].get("description"))
        for path, item in paths.items()
        if path.startswith("/shelves")
    }
    assert described == {
        "short": ("List what is short", None),
        "long": ("List what is long", "It takes longer."),
        "own": ("A summary of its own", "List what has a summary."),
        "without": ("List Without", None),
    }
