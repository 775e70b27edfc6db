"""A headless Chromium for tests, driven over its DevTools protocol. It reaches 127.0.0.1 alone."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = [
    "--headless",
    "--no-sandbox",  # which root cannot have; all that it opens is our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
    "--window-size=1280,1000",
]
PATIENCE = 60  # seconds


@contextmanager
def running_browser(profile: Path) -> Iterator[str]:
    """Run a browser with a new profile until the block ends, and yield where to control it."""
    assert CHROMIUM
    with subprocess.Popen(
        [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            port_file = profile / "DevToolsActivePort"
            deadline = time.monotonic() + PATIENCE
            while not (port_file.exists() and port_file.read_text()):
                assert process.poll() is None, "the browser ended"
                assert time.monotonic() < deadline, "the browser did not start"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port_file.read_text().split()[0]}"
        finally:
            process.terminate()


class Tab:
    """One page in the browser: `requests` are the URLs it asked for, `errors` its console's."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.numbers = count(1)
        self.requests: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        number = next(self.numbers)
        self.connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.connection.recv(timeout=PATIENCE))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.note(message)

    def note(self, event: dict[str, Any]) -> None:
        match event:
            case {"method": "Network.requestWillBeSent", "params": {"request": request}}:
                self.requests.append(request["url"])
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.errors.append(str(details))
            case {"method": "Runtime.consoleAPICalled", "params": {"type": "error"} as call}:
                self.errors.append(str(call["args"]))
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"} as entry}}:
                self.errors.append(f"{entry['text']} {entry.get('url')}")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression, or of what it promises."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """Return the value of an expression as soon as it is true."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"never true: {script}\n{self.errors}"
            time.sleep(0.05)
        return value

    def text(self, selector: str) -> str:
        """Return the text of an element, as soon as there is one."""
        return str(self.wait_for(f"document.querySelector({json.dumps(selector)})?.innerText"))

    def click(self, selector: str) -> None:
        element = f"document.querySelector({json.dumps(selector)})"
        self.wait_for(f"{element} && ({element}.click(), true)")

    def write(self, selector: str, text: str) -> None:
        """Type over what an input holds."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.wait_for(f"{element} && ({element}.focus(), {element}.select(), true)")
        self.call("Input.insertText", text=text)


@contextmanager
def new_tab(browser: str) -> Iterator[Tab]:
    target = httpx2.put(f"{browser}/json/new?about:blank", trust_env=False).json()
    with connect(target["webSocketDebuggerUrl"], max_size=None, proxy=None) as connection:
        yield Tab(connection)
    httpx2.get(f"{browser}/json/close/{target['id']}", trust_env=False)
