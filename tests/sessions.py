"""Sessions as documentation shows them: commands in a shell, and what they print."""

import json
import os
import re
import subprocess
from pathlib import Path

from tests.live import COMMAND

DATES = re.compile(r"(?<=date: ).+|((?<=\"date\":)|(?<=(?:created|updated)At\":))\s?\"[^\"]+\"")
MADE_BY_SERVER = re.compile(
    r"(?<![\w-])(?:"
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # the id of an object
    r"|[0-9a-f]{32}"  # a request id or an ETag
    r"|[0-9a-f]{64}"  # a token
    r")(?![\w-])"
)


def blocks(language: str, text: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def steps(text: str) -> list[tuple[str, str]]:
    """Return each command of a session, which indented lines continue, and what it prints."""
    pattern = re.compile(r"^\$ (.+\n(?: {4}.+\n)*)((?:(?!\$ ).*\n)*)", re.MULTILINE)
    return [step for block in blocks("console", text) for step in pattern.findall(block)]


def check_session(text: str, address: str, folder: Path, environment: dict[str, str]) -> None:
    """Run the commands in a text one after the other, and compare what they print with it."""
    # HTTPie as in a terminal, though without colours; curl without its progress meter.
    options = ["--ignore-stdin", "--pretty=format", "--print=hb"]
    (folder / "config.json").write_text(json.dumps({"default_options": options}))
    (folder / ".curlrc").write_text("silent\nshow-error\n")
    # Each command has its own shell, which starts with the variables that the last one had.
    variables = folder / "variables"
    variables.touch()
    shell = ["bash", "-o", "errexit", "-o", "pipefail", "-c"]
    environment = {
        **os.environ,
        **environment,
        "HTTPIE_CONFIG_DIR": str(folder),
        "CURL_HOME": str(folder),
        "XDG_DATA_HOME": str(folder),  # for snapshots
        "BASH_ENV": str(variables),
        "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
    }
    made: dict[str, str] = {}

    def as_here(text: str) -> str:
        text = MADE_BY_SERVER.sub(lambda match: made.get(match[0], match[0]), text)
        return text.replace(":8000", f":{address.rpartition(':')[2]}")

    def comparable(text: str) -> str:
        return DATES.sub("…", text.replace("\r\n", "\n").strip())

    for command, shown in steps(text):
        result = subprocess.run(
            [*shell, f'set -o allexport\n{as_here(command)}\nexport -p >"$BASH_ENV"'],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert (command, result.returncode, result.stderr) == (command, 0, "")
        there, here = MADE_BY_SERVER.findall(shown), MADE_BY_SERVER.findall(result.stdout)
        made = dict(zip(there, here, strict=False)) | made
        assert comparable(result.stdout) == comparable(as_here(shown)), command
    assert len(set(made.values())) == len(made)
