"""Responses as they leave for the client."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MOST_HELD = 65536  # bytes of responses that wait for the others of a turn of the event loop
LINGER = 5  # seconds in which a client that is still sending may read the last response


class CoalescingTransport:
    """A transport that sends the head of a response together with its body, and closes gently.

    uvicorn writes them one after the other, which is two calls of the system and wakes the client
    twice: a tenth of the time that a small answer takes. So what is written in one turn of the
    event loop is joined in pairs.

    What a client sends to a socket that is closed makes its system throw away the response that it
    has not read yet. So a client that is still sending may do so for some time (RFC 9112, 9.6).
    """

    def __init__(self, transport: asyncio.Transport, stop_reading: Callable[[], bool]) -> None:
        self._transport = transport
        self._stop_reading = stop_reading
        self._held: list[bytes] = []
        self._size = 0
        self._lingering: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.is_read = False
        """Whether the client has shut its side down."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not data:
            return
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST_HELD:
            self.flush()

    def flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.writelines(held)

    def is_closing(self) -> bool:
        return self._lingering is not None or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        if not self._stop_reading() or self.is_read:
            self.finish()
            return
        self.flush()
        self._lingering = self._loop.call_later(LINGER, self.finish)
        with suppress(OSError):  # such as when the client is gone
            self._transport.write_eof()
        self._transport.resume_reading()

    def finish(self) -> None:
        """Close at once, when all that was written is sent."""
        if self._lingering:
            self._lingering.cancel()
        self.flush()
        self._transport.close()
