"""`requests.http` is sent, request by request, as an editor would send it."""

import re
from pathlib import Path

from tests.conftest import ROOT
from tests.live import http, local_server
from tests.samples import Json

HEAD, *REQUESTS = re.split(
    r"^(?=### )", (ROOT / "requests.http").read_text("utf-8"), flags=re.MULTILINE
)
VARIABLE = re.compile(r"^@(\w+) = (.+)$", re.MULTILINE)
REQUEST = re.compile(
    r"^### (?P<title>.+)\n"
    r"(?:# @name (?P<name>\w+)\n)?"
    r"(?P<method>[A-Z]+) (?P<url>\S+)\n"
    r"(?P<headers>(?:[\w-]+: .+\n)*)"
    r"(?:\n(?P<body>(?:.+\n)+))?"
    r"\n?"
)


def test_every_request_is_answered_as_its_title_says(
    environment: dict[str, str], tmp_path: Path
) -> None:
    variables = dict(VARIABLE.findall(HEAD))
    answers: dict[str, Json] = {}

    def resolved(text: str) -> str:
        """Replace variables, and then the answers' members that those refer to."""
        text = re.sub(r"\{\{(\w+)\}\}", lambda found: variables[found[1]], text)
        return re.sub(
            r"\{\{(\w+)\.response\.body\.\$\.(\w+)\}\}",
            lambda found: str(answers[found[1]][found[2]]),
            text,
        )

    assert variables["host"] == "http://localhost:8000"
    with local_server(tmp_path, **environment) as variables["host"]:
        for text in REQUESTS:
            request = REQUEST.fullmatch(text)
            assert request, text
            response = http.request(
                request["method"],
                resolved(request["url"]),
                headers=re.findall(r"(.+?): (.+)", resolved(request["headers"])),
                content=resolved(request["body"] or "").strip().encode(),
            )
            expected = re.findall(r"answered with (\d+)", request["title"])
            assert response.is_success or [str(response.status_code)] == expected, response.text
            if request["name"]:
                answers[request["name"]] = response.json()


def test_head_of_the_file_has_variables_and_comments_alone() -> None:
    assert re.fullmatch(r"(#.*\n|@\w+ = .+\n|\n)+", HEAD)
    assert len(REQUESTS) > 10
