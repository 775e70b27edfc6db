"""What a client would rather have (RFC 7240).

`Prefer: tx=rollback` and `return=minimal` are for requests that write, `count=exact` for lists.
"""

from collections.abc import Collection
from urllib.request import parse_http_list

from fastapi import Request, Response

from orders_api.web.etags import leave_out_body

ROLLBACK = "tx=rollback"
MINIMAL = "return=minimal"
COUNT = "count=exact"


def preferred(request: Request, known: Collection[str]) -> list[str]:
    """Return those of the preferences that are asked for; what is not known is ignored."""
    asked: dict[str, str] = {}
    for item in parse_http_list(", ".join(request.headers.getlist("prefer"))):
        name, _, value = item.partition(";")[0].partition("=")
        asked.setdefault(name.strip().lower(), value.strip())  # the first counts
    names = {one: one.split("=") for one in known}
    return [one for one, (name, value) in names.items() if asked.get(name) in {value, f'"{value}"'}]


def apply_preferences(preferences: Collection[str], response: Response) -> None:
    """Say which preferences a response goes by, and do what they say of it."""
    if MINIMAL in preferences and response.status_code < 300:
        leave_out_body(response)
        if response.status_code == 201:
            response.headers["Content-Length"] = "0"
        else:
            response.status_code = 204
    if ROLLBACK in preferences:
        response.background = None  # which would be done for what is not kept
    response.headers["Preference-Applied"] = ", ".join(preferences)
