"""How requests come to an application in the same process."""

import asyncio
from typing import Any
from urllib.parse import unquote

import httpx2
from fastapi.testclient import TestClient
from starlette.types import Message


class InProcess(httpx2.BaseTransport):
    """Sends a request and takes its whole answer by one call of the event loop's thread.

    Starlette's own makes eight calls, for answers that are taken in parts, and takes three times as
    long. It is left what is a WebSocket, and what has no event loop that goes on.
    """

    def __init__(self, client: TestClient, starlette: Any) -> None:
        self.client = client
        self.starlette = starlette

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        portal = self.client.portal
        if portal is None or request.url.scheme not in {"http", "https"}:
            response: httpx2.Response = self.starlette.handle_request(request)
            return response
        body = request.read()
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": request.method,
            "path": unquote(request.url.path),
            "raw_path": request.url.raw_path.split(b"?", 1)[0],
            "root_path": "",
            "scheme": request.url.scheme,
            "query_string": request.url.query,
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in request.headers.multi_items()
            ],
            "client": self.starlette.client,
            "server": [request.url.host, request.url.port or 80],
            "state": self.client.app_state.copy(),
        }
        status, headers, content = portal.call(self.answer, scope, body)
        shown = b"" if request.method == "HEAD" else content
        stream = httpx2.ByteStream(shown)
        return httpx2.Response(status, headers=headers, stream=stream, request=request)

    async def answer(
        self, scope: dict[str, Any], body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        messages: list[Message] = []
        is_sent = False
        has_ended = asyncio.Event()

        async def receive() -> Message:
            nonlocal is_sent
            if is_sent:
                await has_ended.wait()
                return {"type": "http.disconnect"}
            is_sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                has_ended.set()

        await self.client.app(scope, receive, send)
        start, *parts = messages
        return start["status"], start["headers"], b"".join(part.get("body", b"") for part in parts)
