"""Every resource, as the OpenAPI document describes it: a new one is tested without a new line.

A resource is a collection that takes a `POST` and answers with the path of a single object. One
within another object, such as `/products/{productId}/photos`, needs tests of its own. What is sent
is the document's own example, made different each time, with the ids of objects that exist where it
refers to others.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic.alias_generators import to_camel
from sqlmodel import SQLModel

from orders_api.app import create_app
from orders_api.settings import Settings
from tests.samples import Json, create

DOCUMENT: Json = create_app(Settings(database_url="sqlite://")).openapi()
OPERATIONS: dict[str, Json] = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
UNKNOWN = "01a1fab7-dbdc-74d8-8e14-fd8c30a0df91"
numbers = count(1)


def resolved(schema: Json) -> Json:
    """Follow a `$ref`."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return DOCUMENT["components"]["schemas"][name] if name else schema


def is_nullable(schema: Json) -> bool:
    return {"type": "null"} in schema.get("anyOf", ())


def is_free_text(schema: Json, text: str) -> bool:
    """Tell whether a member may be any text such as this one."""
    return any(
        choice.get("type") == "string"
        and not {"format", "enum", "const"} & choice.keys()
        and re.search(choice.get("pattern", ""), text) is not None
        and len(text) <= choice.get("maxLength", len(text))
        for choice in schema.get("anyOf", [schema])
    )


@dataclass(frozen=True)
class Resource:
    """One resource: `/stores` and `/stores/{storeId}`, say."""

    collection: str
    item: str

    def __str__(self) -> str:
        return self.collection.strip("/")

    @property
    def table(self) -> str:
        return str(self).replace("-", "_")

    @property
    def key(self) -> str:
        return self.item.rpartition("/")[2].strip("{}")

    @property
    def methods(self) -> set[str]:
        """What a single object takes."""
        return {method.upper() for method in DOCUMENT["paths"][self.item]}

    def content(self, method: str) -> Json:
        """Return the schema and the example of a body."""
        path = self.collection if method == "POST" else self.item
        content = OPERATIONS[f"{method} {path}"]["requestBody"]["content"]["application/json"]
        return {"schema": resolved(content["schema"]), "example": content["example"]}

    def members(self, method: str) -> Json:
        """Return the schema of each member of a body."""
        return dict(self.content(method)["schema"]["properties"])

    def example(self, client: TestClient, method: str) -> Json:
        """Return the example of a body, with the ids of objects that exist."""
        return dict(self.linked(client, self.content(method)["example"]))

    @cached_property
    def references(self) -> dict[str, tuple["Resource", str]]:
        """The members that refer to another resource, which that is, and which member of it."""
        table = SQLModel.metadata.tables[self.table]
        own = {
            to_camel(key.parent.name): (other, to_camel(key.column.name))
            for key in table.foreign_keys
            for other in RESOURCES
            if other.table == key.column.table.name
        }
        return REFERENCES | own

    def body(self, client: TestClient) -> Json:
        """Make a body for a `POST`, like no other."""
        content = self.content("POST")
        return dict(self.linked(client, different(content["schema"], content["example"])))

    def linked(self, client: TestClient, value: Any) -> Any:
        """Let a body refer to new objects; to one of its own kind it does not."""
        if isinstance(value, list):
            return [self.linked(client, item) for item in value]
        if not isinstance(value, dict):
            return value
        body = {name: self.linked(client, member) for name, member in value.items()}
        for name, (other, key) in self.references.items():
            if name in body and other != self:
                body[name] = other.new(client)[key]
        return body

    def new(self, client: TestClient) -> Json:
        """Create an object."""
        return create(client, self.collection, self.body(client))

    def path(self, created: Json) -> str:
        return self.item.format_map(created)

    def change(self) -> Json:
        """Make a body for a `PATCH` that changes one member."""
        content = self.content("PATCH")
        example = content["example"]
        for name, value in different(content["schema"], example).items():
            if value != example[name]:
                return {name: value}
        for name, value in example.items():
            schema = content["schema"]["properties"][name]
            others = [other for other in choices(schema) if other not in {value, None}]
            if others:
                return {name: others[0]}
            if isinstance(value, int | float):
                lowest = resolved(schema).get("minimum", value - 1)
                return {name: value - 1 if value > lowest else value + 1}
        raise AssertionError(f"No member of {self} is known to be able to change.")


def resources_in(paths: Json) -> list[Resource]:
    return [
        Resource(collection, item)
        for collection in paths
        for item in paths
        if re.fullmatch(re.escape(collection) + r"/\{\w+\}", item)
        and "{" not in collection
        and "201" in paths[collection].get("post", {}).get("responses", {})
    ]


RESOURCES = resources_in(DOCUMENT["paths"])


def resource(collection: str) -> Resource:
    """Return the resource at a path."""
    return next(resource for resource in RESOURCES if resource.collection == collection)


# By whatever name: the ids of all resources, and a name of its own, which no rule tells.
REFERENCES = {one.key: (one, one.key) for one in RESOURCES} | {
    "couponCode": (resource("/coupons"), "code"),
}


def each_resource(*methods: str) -> pytest.MarkDecorator:
    """Run a test for each resource whose single objects take these methods."""
    having = [resource for resource in RESOURCES if resource.methods.issuperset(methods)]
    return pytest.mark.parametrize("resource", having, ids=str)


def choices(schema: Json) -> list[Any]:
    """Return the values that a member may have, if there are but a few."""
    kinds = [resolved(kind) for kind in schema.get("anyOf", [schema])]
    if any(kind.get("type") == "boolean" for kind in kinds):
        return [True, False]
    if any(kind.get("pattern") == "^[A-Z]{3}$" for kind in kinds):
        return ["EUR", "USD"]
    return [value for kind in kinds for value in kind.get("enum", ())]


def different(schema: Json, value: Any) -> Any:
    """Return a value as valid as an example is, but another one wherever there are many."""
    schema = resolved(schema)
    kinds = schema.get("anyOf", [schema])
    if isinstance(value, dict):
        return {name: different(schema["properties"][name], v) for name, v in value.items()}
    if isinstance(value, list):
        return [different(schema["items"], v) for v in value]
    if isinstance(value, str):
        text = f"{value}{next(numbers)}"
        if is_free_text(schema, text):
            return text
        if any(kind.get("format") == "date-time" for kind in kinds):
            return f"{value[:19]}.{next(numbers):06}Z"
        if any("[0-9]" in kind.get("pattern", "") for kind in kinds):  # of a decimal
            return f"{next(numbers) % 500 + 1}.{value.partition('.')[2]}"
    if isinstance(value, int) and not isinstance(value, bool):
        lowest, highest = (kinds[0].get(name, value) for name in ("minimum", "maximum"))
        return lowest + next(numbers) % (highest - lowest + 1) if highest - lowest > 999 else value
    return value
