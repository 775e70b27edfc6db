"""What holds for every resource alike, a new one included: nothing here names one."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic.alias_generators import to_snake

from tests.resources import (
    DOCUMENT,
    OPERATIONS,
    RESOURCES,
    UNKNOWN,
    Resource,
    each_resource,
    is_free_text,
    is_nullable,
    resources_in,
)
from tests.samples import (
    Json,
    create,
    problem,
    without_times,
)

JSON = {"content-type": "application/json"}


def listed(client: TestClient, resource: Resource) -> list[Json]:
    found: list[Json] = client.get(resource.collection).json()
    return found


def test_every_collection_that_can_be_created_in_is_tested_here() -> None:
    created = {name for name, o in OPERATIONS.items() if "Location" in str(o["responses"])}
    tested = {f"POST {resource.collection}" for resource in RESOURCES}
    assert {name for name in created if "{" not in name} == tested
    assert len(RESOURCES) >= 6


def test_collection_within_an_object_needs_tests_of_its_own() -> None:
    """Its key may have any name, such as that of a member which refers to nothing."""
    creates: Json = {"post": {"responses": {"201": {}}}}
    paths = {
        "/products": creates,
        "/products/{productId}": {},
        "/products/{productId}/photos": creates,
        "/products/{productId}/photos/{name}": {},
    }
    assert resources_in(paths) == [Resource("/products", "/products/{productId}")]


# --- Creating and reading ------------------------------------------------------------------


@each_resource()
def test_created_object_is_read_where_location_says(client: TestClient, resource: Resource) -> None:
    body = resource.body(client)
    response = client.post(resource.collection, json=body)
    assert response.status_code == 201, response.text
    created = response.json()
    assert response.headers["location"] == resource.path(created)
    read = client.get(resource.path(created))
    assert (read.status_code, read.json()) == (200, created)
    assert read.headers["etag"] == response.headers["etag"]
    for name, schema in resource.members("POST").items():
        assert schema.get("writeOnly", False) == (name not in created)
        if name != "items":  # whose answer says more than was asked
            assert created.get(name, body[name]) == body[name]
    (one,) = listed(client, resource)
    assert one == {name: created[name] for name in one}


@each_resource()
def test_examples_of_bodies_are_accepted(client: TestClient, resource: Resource) -> None:
    created = create(client, resource.collection, resource.example(client, "POST"))
    for method in resource.methods & {"PUT", "PATCH"}:
        example = resource.example(client, method)
        response = client.request(method, resource.path(created), json=example)
        assert response.status_code == 200, response.text
        # A password is kept in another form each time.
        assert without_times(response.json()) == without_times(created)


@each_resource()
def test_body_may_be_in_snake_case(client: TestClient, resource: Resource) -> None:
    body = {to_snake(name): value for name, value in resource.body(client).items()}
    assert client.post(resource.collection, json=body).status_code == 201


@each_resource()
def test_collection_answers_with_and_without_a_slash(
    client: TestClient, resource: Resource
) -> None:
    body = resource.body(client)
    response = client.post(f"{resource.collection}/", json=body, follow_redirects=False)
    assert response.status_code == 201
    assert response.headers["location"] == resource.path(response.json())
    answers = [
        client.get(path, follow_redirects=False)
        for path in (resource.collection, f"{resource.collection}/")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(answers[0].json()) == 1
    assert answers[0].json() == answers[1].json()


@each_resource()
def test_repeated_request_with_a_key_creates_one_object(
    client: TestClient, resource: Resource
) -> None:
    body = resource.body(client)
    key = {"idempotency-key": "a"}
    first, second = (client.post(resource.collection, json=body, headers=key) for _ in range(2))
    assert (second.status_code, second.json()) == (201, first.json())
    assert second.headers["location"] == first.headers["location"]
    assert len(listed(client, resource)) == 1


@each_resource()
def test_unknown_object_is_404_and_a_wrong_id_is_422(
    client: TestClient, resource: Resource
) -> None:
    unknown = resource.item.format_map({resource.key: UNKNOWN})
    if client.get(unknown).status_code == 422:  # its ids are numbers
        unknown = resource.item.format_map({resource.key: 2_000_000_000})
    for method in resource.methods:
        problem(client.request(method, unknown, json=body_of(method)), 404, "not-found")
        wrong = resource.item.format_map({resource.key: "nonsense"})
        answer = problem(client.request(method, wrong, json=body_of(method)), 422, "invalid")
        assert [error["parameter"] for error in answer["errors"]] == [resource.key]


def body_of(method: str) -> Json | None:
    return {} if method in {"PUT", "PATCH"} else None


# --- Invalid bodies ------------------------------------------------------------------------


@each_resource()
def test_unknown_member_is_refused_and_the_nearest_named(
    client: TestClient, resource: Resource
) -> None:
    body = resource.body(client)
    for name in resource.members("POST"):
        wrong = {f"{n}x" if n == name else n: value for n, value in body.items()}
        errors = problem(client.post(resource.collection, json=wrong), 422, "invalid")["errors"]
        detail = f"is not known here; did you mean `{name}`?"
        assert {"pointer": f"/{name}x", "detail": detail} in errors
    for name in (resource.key, to_snake(resource.key), "version"):
        response = client.post(resource.collection, json=body | {name: UNKNOWN})
        errors = problem(response, 422, "invalid")["errors"]
        assert [error["pointer"] for error in errors] == [f"/{name}"]
    assert listed(client, resource) == []


@each_resource()
def test_required_member_may_neither_be_missing_nor_null(
    client: TestClient, resource: Resource
) -> None:
    body = resource.body(client)
    required = resource.content("POST")["schema"].get("required", [])
    for name, schema in resource.members("POST").items():
        missing = {n: value for n, value in body.items() if n != name}
        if name in required:
            answer = problem(client.post(resource.collection, json=missing), 422, "invalid")
            assert answer["errors"] == [{"pointer": f"/{name}", "detail": "is required"}]
        if not is_nullable(schema):
            answer = problem(
                client.post(resource.collection, json=body | {name: None}), 422, "invalid"
            )
            assert answer["errors"] == [{"pointer": f"/{name}", "detail": "must not be null"}]
    assert listed(client, resource) == []
    least = {name: value for name, value in body.items() if name in required}
    assert client.post(resource.collection, json=least).status_code == 201


@each_resource()
def test_member_of_another_type_is_refused(client: TestClient, resource: Resource) -> None:
    body = resource.body(client)
    for name in resource.members("POST"):
        wrongs: list[object] = [1 if isinstance(body[name], bool) else True, {"a": 1}, [[]]]
        for wrong in wrongs:
            response = client.post(resource.collection, json=body | {name: wrong})
            answer = problem(response, 422, "invalid")
            assert {error["pointer"].split("/")[1] for error in answer["errors"]} == {name}
    assert listed(client, resource) == []


@each_resource()
def test_member_is_kept_up_to_its_bounds(client: TestClient, resource: Resource) -> None:
    for name, schema in resource.members("POST").items():
        kinds = schema.get("anyOf", [schema])
        longest = "x" * max(kind.get("maxLength", 0) for kind in kinds)
        largest = [kind["maximum"] for kind in kinds if "maximum" in kind]
        bounds = [longest] if is_free_text(schema, longest) else largest
        for value in [] if name in resource.references else bounds:
            body = resource.body(client) | {name: value}
            response = client.post(resource.collection, json=body)
            assert response.status_code == 201, response.text
            read = client.get(response.headers["location"]).json()
            assert read.get(name, value) in (value, str(value))  # a decimal is text in an answer
            wrong = body | {name: f"{value}x" if isinstance(value, str) else value + 1}
            answer = problem(client.post(resource.collection, json=wrong), 422, "invalid")
            assert [error["pointer"] for error in answer["errors"]] == [f"/{name}"]


@each_resource()
def test_reference_to_nothing_is_refused(client: TestClient, resource: Resource) -> None:
    body = resource.body(client)
    ids = {name for name, (other, key) in resource.references.items() if key == other.key}
    for name in ids & body.keys():
        unknown = 2_000_000_000 if isinstance(body[name], int) else UNKNOWN
        response = client.post(resource.collection, json=body | {name: unknown})
        problem(response, 422, "impossible")
    assert listed(client, resource) == []


@pytest.mark.parametrize(
    "operation",
    [
        name
        for name, operation in OPERATIONS.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ],
)
def test_body_that_is_no_json_object_is_refused(client: TestClient, operation: str) -> None:
    method, path = operation.split()
    path = re.sub(r"\{\w+\}", "1" if "todoId" in path else UNKNOWN, path)

    def answer(content: bytes, headers: Json = JSON) -> Any:
        return client.request(method, path, content=content, headers=headers)

    problem(answer(b"{"), 400, "malformed")
    problem(answer(b'{"a": 1, "a": 2}'), 400, "malformed")
    problem(answer(b"\xff"), 400, "malformed")
    problem(answer(b"1"), 422, "invalid")
    problem(answer(b"{}", {"content-type": "text/plain"}), 415, "unsupported-media-type")
    problem(answer(b" " * (1024 * 1024 + 1)), 413, "too-large")


# --- Lists ---------------------------------------------------------------------------------


@each_resource()
def test_pages_visit_each_object_once_in_every_order(
    client: TestClient, resource: Resource
) -> None:
    created = [resource.path(resource.new(client)) for _ in range(5)]
    parameters = {p["name"]: p for p in OPERATIONS[f"GET {resource.collection}"]["parameters"]}
    orders = re.findall(r"'enum': \[(.*?)\]", str(parameters.get("sort", {})))
    for order in [None, *re.findall(r"'(.*?)'", "".join(orders))]:
        found: list[str] = []
        path: str | None = resource.collection
        query: Any = {"limit": 2} | ({"sort": order} if order else {})
        while path:
            response = client.get(path, params=query)
            assert response.status_code == 200, response.text
            found += [resource.path(one) for one in response.json()]
            path, query = response.links.get("next", {}).get("url"), None
        assert len(found) == 5
        assert (found if order is None else sorted(found)) == created, order


@each_resource()
def test_filter_by_a_member_finds_the_objects_that_have_it(
    client: TestClient, resource: Resource
) -> None:
    first, second = resource.new(client), resource.new(client)
    for parameter in OPERATIONS[f"GET {resource.collection}"]["parameters"]:
        name = parameter["name"]
        if name in first and first[name] is not None:
            value = str(first[name]).lower() if first[name] is True else first[name]
            response = client.get(resource.collection, params={name: value})
            expected = [one for one in (first, second) if one[name] == first[name]]
            assert [resource.path(one) for one in response.json()] == [
                resource.path(one) for one in expected
            ], name


@pytest.mark.parametrize("operation", OPERATIONS)
def test_unknown_query_parameter_is_refused(client: TestClient, operation: str) -> None:
    method, path = operation.split()
    known = [p["name"] for p in OPERATIONS[operation].get("parameters", ()) if p["in"] == "query"]
    path = re.sub(r"\{\w+\}", UNKNOWN, path)
    for name in known:
        errors = problem(client.request(method, f"{path}?{name}x=1"), 422, "invalid")["errors"]
        assert errors[0]["parameter"] == f"{name}x"
        assert len(name) < 3 or f"did you mean `{name}`?" in errors[0]["detail"]
    answer = problem(client.request(method, f"{path}?nonsense=1"), 422, "invalid")
    detail = "is not known here"
    assert {"parameter": "nonsense", "detail": detail} in answer["errors"]


def allowed(path: str) -> str:
    taken = {method.upper() for method in DOCUMENT["paths"][path]}
    return ", ".join(sorted(taken | {"OPTIONS"} | ({"HEAD"} if "GET" in taken else set())))


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_other_methods_are_405_with_those_allowed(client: TestClient, path: str) -> None:
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} - {*allowed(path).split(", ")}:
        response = client.request(method, re.sub(r"\{\w+\}", UNKNOWN, path))
        assert response.headers["allow"] == allowed(path)
        if method == "HEAD":
            assert (response.status_code, response.content) == (405, b"")
        else:
            detail = problem(response, 405, "method-not-allowed")["detail"]
            assert f"does not take {method}, only {allowed(path)}." in detail


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_options_tell_everybody_the_methods(client: TestClient, path: str) -> None:
    """They tell nothing of what is stored."""
    for concrete in (re.sub(r"\{\w+\}", UNKNOWN, path), re.sub(r"\{\w+\}", "nonsense", path)):
        response = client.options(concrete, headers={"host": "api.example"})
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["allow"] == allowed(path)
        assert "content-type" not in response.headers


GETS = sorted(path for path, item in DOCUMENT["paths"].items() if "get" in item)


def test_head_is_answered_as_get_without_the_body(
    client: TestClient, subtests: pytest.Subtests
) -> None:
    known: Json = {}
    for resource in RESOURCES:  # two of each, so that a page of one has a next one
        known |= resource.new(client) | resource.new(client)
    for path in (*GETS, "/stores/", "/stores?limit=1", "/docs", "/openapi.json"):
        with subtests.test(path):
            check_head(client, path.format_map(known))


def check_head(client: TestClient, path: str) -> None:
    for headers in ({}, {"if-none-match": "*"}, {"host": "api.example"}):
        headers["x-request-id"] = "a"
        expected = client.get(path, headers=headers)
        response = client.head(path, headers=headers)
        assert (response.status_code, response.content) == (expected.status_code, b"")
        assert response.headers == expected.headers
        if headers == {"x-request-id": "a"}:
            assert expected.status_code == 200
            assert int(response.headers.get("content-length", "0")) == len(expected.content) or (
                path == "/orders/export"
            )


def test_head_of_what_is_missing_is_404(client: TestClient) -> None:
    for path in ("/nope", f"/stores/{UNKNOWN}"):
        response = client.head(path)
        assert (response.status_code, response.content) == (404, b"")
        assert response.headers["content-type"] == "application/problem+json"


# --- Changing and deleting -----------------------------------------------------------------


@each_resource("PATCH")
def test_patch_changes_what_is_sent_and_nothing_else(
    client: TestClient, resource: Resource
) -> None:
    created = resource.new(client)
    path = resource.path(created)
    before = client.get(path)
    unchanged = client.patch(path, json={})
    assert (unchanged.status_code, unchanged.json()) == (200, created)
    assert unchanged.headers["etag"] == before.headers["etag"]
    change = resource.change()
    changed = client.patch(path, json=change)
    assert changed.status_code == 200, changed.text
    assert {n: v for n, v in changed.json().items() if created[n] != v}.items() >= change.items()
    assert client.get(path).json() == changed.json()
    assert changed.headers["etag"] != before.headers["etag"]


@each_resource("PATCH")
def test_patch_with_null_clears_what_may_be_empty(client: TestClient, resource: Resource) -> None:
    created = resource.new(client)
    path = resource.path(created)
    for name, schema in resource.members("PATCH").items():
        response = client.patch(path, json={name: None})
        if is_nullable(schema):
            created |= {name: None, "updatedAt": response.json()["updatedAt"]}
            assert (response.status_code, response.json()) == (200, created)
        else:
            answer = problem(response, 422, "invalid")
            assert answer["errors"] == [{"pointer": f"/{name}", "detail": "must not be null"}]
    assert client.get(path).json() == created


@each_resource("PATCH")
def test_patch_refuses_what_only_the_server_makes(client: TestClient, resource: Resource) -> None:
    created = resource.new(client)
    path = resource.path(created)
    for name in created.keys() - resource.members("PATCH").keys() | {"version"}:
        answer = problem(client.patch(path, json={name: created.get(name)}), 422, "invalid")
        assert [error["pointer"] for error in answer["errors"]] == [f"/{name}"]
    assert client.get(path).json() == created


@each_resource("DELETE")
def test_deleted_object_is_gone(client: TestClient, resource: Resource) -> None:
    kept, deleted = resource.new(client), resource.new(client)
    path = resource.path(deleted)
    response = client.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    for method in resource.methods:
        problem(client.request(method, path, json=body_of(method)), 404, "not-found")
    assert [resource.path(one) for one in listed(client, resource)] == [resource.path(kept)]
