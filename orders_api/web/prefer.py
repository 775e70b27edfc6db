"""What a client would rather have (RFC 7240): `Prefer: tx=rollback` and `return=minimal`."""

from collections.abc import Collection
from urllib.request import parse_http_list

from fastapi import Request, Response

ROLLBACK = "tx=rollback"
MINIMAL = "return=minimal"


def preferred(request: Request, known: Collection[str]) -> list[str]:
    """Give those of the preferences that are asked for; what is not known is ignored."""
    asked: dict[str, str] = {}
    for item in parse_http_list(", ".join(request.headers.getlist("prefer"))):
        name, _, value = item.partition(";")[0].partition("=")
        asked.setdefault(name.strip().lower(), value.strip())  # the first counts
    names = {one: one.split("=") for one in known}
    return [one for one, (name, value) in names.items() if asked.get(name) in {value, f'"{value}"'}]


def applied(preferences: Collection[str], response: Response) -> Response:
    """Say which preferences an answer goes by, and leave out its body if that is one of them."""
    if MINIMAL in preferences:
        kept = {n: v for n, v in response.headers.items() if not n.startswith("content-")}
        response = Response(status_code=201 if response.status_code == 201 else 204, headers=kept)
    response.headers["Preference-Applied"] = ", ".join(preferences)
    return response
