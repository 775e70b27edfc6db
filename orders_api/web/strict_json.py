"""JSON as RFC 8259 has it: UTF-8, no NaN, and (which it leaves open) no member twice."""

import json
from typing import Any


def parse_json(content: bytes) -> Any:
    """Parse a document; the text of the ValueError follows the name of what is parsed."""
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique_members,
            parse_constant=_refuse_constant,
            parse_int=_parse_int,
        )
    except UnicodeDecodeError:
        raise ValueError("is not valid UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"is not valid JSON ({place})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("names a member twice in one object")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"is not valid JSON: {name} is not a JSON value")


def _parse_int(digits: str) -> int | float:
    # Python refuses to convert thousands of digits; as infinity they are simply out of range.
    return int(digits) if len(digits) < 1000 else float(digits)
