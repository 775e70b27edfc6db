"""What is wrong with a request, in the caller's spelling and without an echo of the input."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from orders_api.problems import PATTERN_WORDS, Problem

MAX_ERRORS = 20  # of one request that an answer names


def from_validation_error(error: RequestValidationError, request: Request) -> Problem:
    """Say what is wrong in the caller's spelling, without echoing the input."""
    route = request.scope["route"]
    items = []
    errors = error.errors()
    for item in errors[:MAX_ERRORS]:
        place, *loc = item["loc"]
        if place == "body":
            model = route.body_field.field_info.annotation if route.body_field else None
            found = body_error(item, loc, model)
            items.append(found | {"detail": found["detail"] + _httpie_hint(item, found)})
        else:
            known = item.get("ctx", {}).get("known", ())
            items.append({"parameter": shorten(str(loc[0])), "detail": explain(item, known)})
    return Problem.invalid(items, unnamed=len(errors) - len(items))


def body_error(item: Mapping[str, Any], loc: Sequence[str | int], model: Any) -> dict[str, str]:
    """Say what is wrong with a body of this class, at this place."""
    if item["type"] == "missing" and not loc:
        return {"detail": "is missing: send a JSON object"}
    pointer, known = _pointer(model, loc)
    if item["type"] == "extra_forbidden":  # shown as it was sent
        pointer = pointer.rpartition("/")[0] + "/" + _escape(loc[-1])
    return {"pointer": shorten(pointer), "detail": explain(item, known)}


def _pointer(model: Any, loc: Sequence[str | int]) -> tuple[str, Iterable[str]]:
    """Return the JSON Pointer of `loc`, and the names that its last part could have had."""
    parts: list[str | int] = []
    known: Iterable[str] = ()
    for part in loc:
        fields = getattr(_inner(model), "model_fields", None)
        if isinstance(part, int):
            parts.append(part)
        elif fields is None:
            break  # a branch of a union, which is no part of the caller's document
        else:
            known = [field.alias or name for name, field in fields.items()]
            name = next((n for n, f in fields.items() if part in (n, f.alias)), None)
            parts.append((fields[name].alias or name) if name else part)
            model = fields[name].annotation if name else None
    return "".join("/" + _escape(part) for part in parts), known


def _escape(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _inner(annotation: Any) -> Any:
    """Strip `Annotated`, `list` and `| None`."""
    while args := [arg for arg in get_args(annotation) if arg is not type(None)]:
        annotation = args[0]
    return annotation


def explain(item: Mapping[str, Any], known: Iterable[str] = ()) -> str:
    """Say what is wrong, in words that follow the name of what it is about."""
    match item["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            name = shorten(str(item["loc"][-1]))
            # camelCase or snake_case, a typing error or two: all of them are near.
            spellings = {_plain(other): other for other in known}
            near = get_close_matches(_plain(name), spellings, n=1, cutoff=0.7)
            if near:
                return f"is not known here; did you mean `{spellings[near[0]]}`?"
            return "is not known here"
        case _ if item.get("input", "") is None:
            return "must not be null"
        case "bool_type" | "bool_parsing":
            return "must be true or false"
        case "int_type" | "int_parsing" | "int_from_float":
            return "must be a whole number"
        case "int_parsing_size":
            return "is out of range"
        case "string_type":
            return "must be text"
        case "string_unicode":
            return "must be text without lone surrogates"
        case "string_pattern_mismatch":
            return _pattern_sentence(item["ctx"]["pattern"])
        case "decimal_type":
            return "must be a number"
        case "list_type":
            return "must be an array"
        case "uuid_parsing" | "uuid_type":
            return "must be a UUID"
        case "model_attributes_type" | "dict_type" | "model_type":
            return "must be a JSON object"
    message = str(item["msg"]).removeprefix("Value error, ").replace(" after validation", "")
    return re.sub(r"^\w+( input)? should ", "must ", message)


def _httpie_hint(item: Mapping[str, Any], found: Mapping[str, str]) -> str:
    """Say how to write the member in HTTPie, where a colon makes the difference."""
    first, *others = found.get("pointer", "/")[1:].split("/")
    name = first + "".join(f"[{part}]" for part in others)
    match item["type"], item.get("input"):
        case (("int_type" | "int_parsing"), str()):
            return f", not text (in HTTPie: `{name}:=5`, with a colon)"
        case "bool_type", str():
            return f", not text (in HTTPie: `{name}:=true`, with a colon)"
        case "string_type", (int() | float()) as value if not isinstance(value, bool):
            return f", not a number (in HTTPie: `{name}=5`, without a colon)"
    return ""


def _plain(name: str) -> str:
    return re.sub(r"[_-]", "", name).lower()


def _pattern_sentence(pattern: str) -> str:
    return PATTERN_WORDS.get(pattern, f"must match {pattern}")


def shorten(text: str) -> str:
    """Cut what a caller sent to a length at which it can be shown."""
    return text if len(text) <= 200 else f"{text[:200]}…"
