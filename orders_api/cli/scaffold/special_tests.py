"""The tests of a new resource: of what no other has."""

from collections.abc import Iterator

from pydantic.alias_generators import to_camel

from orders_api.cli.scaffold.members import BOUNDS
from orders_api.cli.scaffold.resource import Resource
from orders_api.cli.scaffold.sources import literal


def special_tests(resource: Resource) -> str:
    """Write tests of what no other resource has; empty if there is nothing."""
    found = [*_tests(resource)]
    begin = f"""from fastapi.testclient import TestClient

from tests.resources import resource
from tests.samples import problem

{resource.constant} = resource("/{resource.path}")"""
    return "\n\n\n".join([begin, *found]) + "\n" if found else ""


def _tests(resource: Resource) -> Iterator[str]:
    path, constant = resource.path, resource.constant
    post = f'client.post("/{path}", json=body'
    for member in resource.references:
        if member.is_deletable and member.refers_to != resource.table:
            name = member.name.removesuffix("_id")
            yield f'''def test_{name}_in_use_is_not_deleted(client: TestClient) -> None:
    one = {constant}.new(client)
    path = f"{member.path}/{{one['{member.alias}']}}"
    problem(client.delete(path), 409, "in-use")
    assert client.delete({constant}.path(one)).status_code == 204
    assert client.delete(path).status_code == 204'''
    for member in resource.fields:
        if member.bounds:
            low, high = member.bounds
            yield f'''def test_{member.name}_out_of_bounds_is_refused(client: TestClient) -> None:
    body = {constant}.body(client)
    for wrong in ({low - 1}, {high + 1}, {low}.5, "{high}", True):
        answer = problem({post} | {{"{member.alias}": wrong}}), 422, "invalid")
        assert [error["pointer"] for error in answer["errors"]] == ["/{member.alias}"]'''
        if member.choices:
            yield f'''def test_unknown_{member.name}_is_refused(client: TestClient) -> None:
    body = {constant}.body(client) | {{"{member.alias}": "?"}}
    answer = problem({post}), 422, "invalid")
    assert [error["pointer"] for error in answer["errors"]] == ["/{member.alias}"]'''
    for member in resource.named(resource.filters):
        if member.filters == BOUNDS:
            less, more = map(literal, member.beyond)
            least, most = (to_camel(f"{bound}_{member.name}") for bound in BOUNDS)
            yield f'''def test_list_is_bounded_by_{member.name}(client: TestClient) -> None:
    one = {constant}.new(client)
    for name, beyond in {{"{least}": {more}, "{most}": {less}}}.items():
        for value, found in ((one["{member.alias}"], [one]), (beyond, [])):
            assert client.get("/{path}", params={{name: value}}).json() == found'''
    # Tests make no object that refers to another one of its kind, and NULLs are never the same.
    own = {member.name for member in resource.references if member.refers_to == resource.table}
    unique = [resource.named(names) for names in resource.unique if own.isdisjoint(names)]
    if unique:
        names = [tuple(member.alias for member in members) for members in unique]
        yield f"""def test_duplicate_is_refused(client: TestClient) -> None:
    first = {constant}.new(client)
    for names in {names}:
        body = {constant}.body(client) | {{name: first[name] for name in names}}
        problem({post}), 409, "already-exists")"""
