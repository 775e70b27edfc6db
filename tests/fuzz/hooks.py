"""What Schemathesis cannot know from the document: who asks, for what, and what else is right."""

import json
import os
import re
import subprocess
import uuid
from functools import cache
from itertools import cycle
from typing import Any

import httpx2
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData

from orders_api.problems import IMPOSSIBLE, KEY_REUSED, PRECONDITION_FAILED
from orders_api.web.line_bodies import MEDIA_TYPES
from tests.live import COMMAND
from tests.samples import STORE

Case = schemathesis.Case[Any]

ADDRESS = os.environ["ADDRESS"]
PASSWORD = "correct horse"
KEY = re.compile("[!-~]{1,255}")
ENDS_TOKENS = {"DELETE /token", "DELETE /users/{userId}", "PATCH /users/{userId}"}
CURSOR = re.compile("[A-Za-z0-9_-]{0,2000}")


# --- Who asks -----------------------------------------------------------------------------


def sign_in(username: str) -> httpx2.Response:
    form = {"username": username, "password": PASSWORD}
    return httpx2.post(f"{ADDRESS}/token", data=form)


@cache
def keeper() -> httpx2.Client:
    """Make a client for a user whom no request of Schemathesis can change or delete."""
    name = str(uuid.uuid4())
    command = [str(COMMAND), "create-user", name, "--password-stdin"]
    subprocess.run(command, input=PASSWORD, text=True, check=True, stdout=subprocess.DEVNULL)
    token = sign_in(name).json()["access_token"]
    return httpx2.Client(base_url=ADDRESS, headers={"Authorization": f"Bearer {token}"})


@schemathesis.auth(refresh_interval=None).skip_for(path="/token", method="POST")
class SomeUser:
    """Signs in, as a new user if the one before is gone or has changed."""

    user_id = username = token = ""

    def get(self, *_: object) -> str:
        if not self.token:
            answer = sign_in(self.username)
            if answer.status_code != 200:
                SomeUser.username = str(uuid.uuid4())
                user = {"username": self.username, "password": PASSWORD}
                SomeUser.user_id = keeper().post("/users", json=user).json()["userId"]
                answer = sign_in(self.username)
            SomeUser.token = answer.json()["access_token"]
        return self.token

    def set(self, case: Case, token: str, _: object) -> None:
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_load_schema(_: object, raw_schema: dict[str, Any]) -> None:
    # `ignored_auth` leaves out and forges tokens of this scheme, but none of OAuth 2.0. Sent they
    # are the same (RFC 6750).
    raw_schema["components"]["securitySchemes"]["bearer"] = {"type": "http", "scheme": "bearer"}


# --- For what -----------------------------------------------------------------------------

references: dict[str, str] = {}
"""What bodies can refer to, by the name of the member."""

cursors: dict[tuple[str, str], str] = {}
"""The last cursor of each list in each order."""

three_of_four = cycle([True, True, True, False])


@schemathesis.hook
def after_load_schema(_: object, __: object) -> None:
    """Place an order: what was ordered cannot be deleted, so that it can be ordered again."""
    client = keeper()
    references["storeId"] = client.post("/stores", json=STORE).json()["storeId"]
    product = {"storeId": references["storeId"], "name": "Atlas", "price": 19.99}
    references["productId"] = client.post("/products", json=product).json()["productId"]
    coupon = {"code": str(uuid.uuid4()), "initCount": 2_000_000_000, "percentOff": 10}
    references["couponCode"] = client.post("/coupons", json=coupon).json()["code"]
    items = [{"productId": references["productId"], "quantity": 1}]
    order = {"items": items, "couponCode": references["couponCode"]}
    client.post("/orders", json=order).raise_for_status()


@schemathesis.hook
def before_call(_: object, case: Case, __: object) -> None:
    """Add unused keys, present states, the list's own cursors and existing ids to most requests."""
    if not next(three_of_four):
        if "userId" in case.path_parameters:
            case.path_parameters["userId"] = SomeUser.user_id  # one may delete oneself only
        return
    if KEY.fullmatch(case.headers.get("Idempotency-Key", "")):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
    if CURSOR.fullmatch(str(case.query.get("after", "no cursor"))):
        del case.query["after"]
        if list_of(case) in cursors:
            case.query["after"] = cursors[list_of(case)]
    if not (case.meta and case.meta.is_negative_at(ParameterLocation.BODY)):
        case.body = with_references(case.body)


@schemathesis.hook
def after_call(_: object, case: Case, response: schemathesis.Response) -> None:
    for link in response.headers.get("link", ()):
        (cursors[list_of(case)],) = re.findall("after=([^&>]*)", link)
    if response.status_code < 300 and case.operation.label in ENDS_TOKENS:
        SomeUser.token = ""


def list_of(case: Case) -> tuple[str, str]:
    return case.path, str(case.query.get("sort"))


@schemathesis.serializer(*MEDIA_TYPES)
def as_lines(_: object, value: Any) -> bytes:
    """Write an array as JSON lines; the document's example is written so already."""
    if isinstance(value, str) and value.startswith("{"):
        return value.encode()
    lines = value if isinstance(value, list) else [value]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def with_references(value: Any) -> Any:
    if isinstance(value, list):
        return [with_references(item) for item in value]
    if isinstance(value, dict):
        return {
            name: references.get(name, member)
            if isinstance(member, str)
            else with_references(member)
            for name, member in value.items()
        }
    return value


# --- What else is right -------------------------------------------------------------------

STATE = {kind.type for kind in (IMPOSSIBLE, KEY_REUSED, PRECONDITION_FAILED)}


@schemathesis.hook
def filter_failure(
    _: object, failure: Failure, case: Case, response: schemathesis.Response
) -> bool:
    """Let the server refuse what is right by itself and wrong only with what is stored.

    No schema can tell: a reference to nothing, a total that is too large, the key of another
    request, the entity tag of another state. The answers have types of their own. Nor does a
    schema know the cursors of a list. An import may be told to leave out what is bad.
    """
    if isinstance(failure, AcceptedNegativeData) and case.path.endswith("/import"):
        return bool(response.json()["skipped"] == 0)
    if not isinstance(failure, RejectedPositiveData):
        return True
    answer = response.json()
    is_cursor = all(error.get("parameter") == "after" for error in answer.get("errors", [{}]))
    return not (is_cursor or answer["type"] in STATE)
