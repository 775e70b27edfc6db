import pytest
from fastapi.testclient import TestClient

from tests.samples import (
    Json,
    create,
    problem,
    without_times,
)


def test_created_todo_has_a_small_integer_id(client: TestClient) -> None:
    response = client.post("/todos", json={"task": "Call the bookbinder"})
    todo = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/todos/{todo['todoId']}"
    made = {"task": "Call the bookbinder", "complete": False, "todoId": todo["todoId"]}
    assert without_times(todo) == made
    assert isinstance(todo["todoId"], int)
    assert client.get(response.headers["location"]).json() == todo


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_put_and_patch_change_just_what_is_sent(client: TestClient, method: str) -> None:
    todo = create(client, "/todos", {"task": "A"})
    path = f"/todos/{todo['todoId']}"
    complete = client.request(method, path, json={"complete": True}).json()
    assert without_times(complete) == without_times(todo) | {"complete": True}
    changed = client.request(method, path, json={"task": "B"}).json()
    assert changed == client.get(path).json()
    assert without_times(changed) == without_times(todo) | {"task": "B", "complete": True}
    problem(client.request(method, path, json={"task": None}), 422, "invalid")
    problem(client.request(method, path, json={"complete": "yes"}), 422, "invalid")
    problem(client.request(method, "/todos/2147483647", json={}), 404, "not-found")
    assert client.get(path).json() == changed


def test_filter_selects_what_is_complete(client: TestClient) -> None:
    todos = [create(client, "/todos", {"task": str(n), "complete": n > 1}) for n in range(4)]
    assert client.get("/todos").json() == todos
    assert client.get("/todos?complete=true").json() == todos[2:]
    assert client.get("/todos?complete=false&limit=1").json() == todos[:1]


def test_deleted_todo_is_gone_and_its_id_is_not_used_again(client: TestClient) -> None:
    todo = create(client, "/todos", {"task": "A"})
    path = f"/todos/{todo['todoId']}"
    assert client.delete(path).status_code == 204
    problem(client.get(path), 404, "not-found")
    assert create(client, "/todos", {"task": "B"})["todoId"] > todo["todoId"]


@pytest.mark.parametrize("todo_id", ["0", "-1", "2147483648", "9" * 30, "one", "1.5", "1e3"])
def test_id_out_of_bounds_is_refused(client: TestClient, todo_id: str) -> None:
    problem(client.get(f"/todos/{todo_id}"), 422, "invalid")


@pytest.mark.parametrize(
    "body", [{}, {"task": ""}, {"task": 1}, {"task": "A", "complete": 1}, {"task": "A", "id": 1}]
)
def test_invalid_todo_is_refused(client: TestClient, body: Json) -> None:
    problem(client.post("/todos", json=body), 422, "invalid")
    assert client.get("/todos").json() == []


def test_each_member_of_another_type_is_named_as_httpie_sends_it(client: TestClient) -> None:
    answer = problem(client.post("/todos", json={"task": 5, "complete": "true"}), 422, "invalid")
    assert answer["errors"] == [
        {
            "pointer": "/task",
            "detail": "must be text, not a number (in HTTPie: `task=5`, without a colon)",
        },
        {
            "pointer": "/complete",
            "detail": "must be true or false, not text (in HTTPie: `complete:=true`, with a colon)",
        },
    ]


def test_filter_that_is_neither_true_nor_false_is_refused(client: TestClient) -> None:
    answer = problem(client.get("/todos?complete=maybe"), 422, "invalid")
    assert answer["errors"] == [{"parameter": "complete", "detail": "must be true or false"}]
