"""HTTP/1.1 as uvicorn speaks it by httptools, but strict where a client may be hostile.

- No byte is read twice, or as part of another message than its own: an `Upgrade` is ignored, and
  a trailer is no header.
- Responses are in the order of the requests. What is no HTTP is refused last, and nothing after it
  is read.
- No head, trailer or chunk extension is kept or read without bound, and what follows a request that
  waits for its turn is not parsed before that.
- All requests of a connection learn that it is lost, and those that wait are not carried out.
"""

import asyncio
import re
from functools import cache, lru_cache
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from orders_api.cli.transport import CoalescingTransport
from orders_api.problems import HEAD_TOO_LARGE, MALFORMED, Problem, ProblemType
from orders_api.settings import Settings

SLICE = 8192  # bytes given to the parser at once, so that an endless head is noticed early

# A host's name or address and perhaps a port (RFC 3986); it may be empty.
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")

ABSOLUTE = re.compile(rb"[A-Za-z]+://(?P<authority>[^/?#]+)(?P<rest>.*)")


@cache
def max_head_bytes() -> int:
    return Settings().max_head_bytes


@lru_cache
def is_host(value: bytes) -> bool:
    return HOST.fullmatch(value) is not None


class HttpProtocol(HttpToolsProtocol):
    """A connection of a client; uvicorn makes one for each, and calls it when something arrives."""

    running: RequestResponseCycle | None = None
    is_in_head = False
    is_in_body = False
    waiting = b""
    """What was read behind requests that wait for their turn."""
    unfinished = 0
    """Bytes read since the last message, head or piece of a body ended."""
    ignores_input = False

    # --- The connection -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.coalescing = CoalescingTransport(transport, self.stop_reading)
        joined: Any = self.coalescing
        super().connection_made(joined)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn knows only the newest request, and that may be one that waits for its turn.
        self.pipeline.clear()
        self.waiting = b""
        if self.running and not self.running.response_complete:
            self.running.disconnected = True
            self.running.message_event.set()
        super().connection_lost(exc)
        self.coalescing.finish()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's says that it is None
        """Keep the connection until all is answered that a client sent before it shut its side."""
        self.coalescing.is_read = True
        self.coalescing.flush()  # what is still held, before the transport closes itself
        if self.waiting:
            return True  # on_response_complete goes on
        if self.is_in_body:
            self.refuse(MALFORMED, "The body ended before it was complete.")
        if self.coalescing.is_closing() or self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.coalescing.finish()
        else:
            super().shutdown()

    def stop_reading(self) -> bool:
        """Ignore what the client still sends, and return whether it may still be sending."""
        is_in_message = self.is_in_head or self.is_in_body or self.unfinished
        may_send = self.ignores_input or is_in_message or self.flow.read_paused
        self.ignores_input = True
        return bool(may_send)

    # --- What is read -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.ignores_input:
            return
        self._unset_keepalive_if_required()
        self.parse(self.waiting + data)

    def parse(self, data: bytes) -> None:
        """Read what was received up to the next request that has to wait."""
        self.waiting = b""
        rest = data if len(data) <= SLICE else memoryview(data)
        while rest:
            if self.pipeline:
                self.waiting = bytes(rest)
                self.flow.pause_reading()
                return
            size = min(SLICE, max_head_bytes() - self.unfinished)
            if not size:
                most = f"must not be larger than {max_head_bytes()} bytes"
                self.refuse(HEAD_TOO_LARGE, f"The request line and headers (or trailers) {most}.")
                return
            self.unfinished += min(size, len(rest))
            try:
                try:
                    self.parser.feed_data(rest[:size])
                except httptools.HttpParserUpgrade as upgrade:
                    (size,) = upgrade.args  # where the head ends
                    head, self.parser = self.head_without_upgrade(), self.new_parser()
                    self.parser.feed_data(head)
            except httptools.HttpParserError as error:
                reason = error.__context__ if isinstance(error.__context__, ValueError) else error
                self.refuse(MALFORMED, f"The request is not valid HTTP/1.1: {reason}.")
                return
            rest = rest[size:]

    def new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return parser

    def head_without_upgrade(self) -> bytes:
        """Return the head that was read, as it is without the `Upgrade` that is not offered.

        httptools takes all that follows an `Upgrade` for another protocol, also the request's body.
        """
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b:%b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.is_in_head = True

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("CONNECT is for proxies")
            return  # data_received reads this head again, without `Upgrade`
        self.check_head()
        super().on_headers_complete()
        self.headers = []  # for trailers, which are none of the scope's headers
        self.is_in_head = False
        self.is_in_body = True
        self.unfinished = 0

    def check_head(self) -> None:
        """Raise ValueError for what the parser lets pass and RFC 9112 does not (2.3, 3.2)."""
        version = self.parser.get_http_version()
        hosts = []
        asks_for_upgrade = False
        for name, value in self.headers:
            if name == b"host":
                hosts.append(value)
            elif name == b"upgrade":
                asks_for_upgrade = True
        if version == "1.0":
            self.expect_100_continue = False
        elif version != "1.1":
            raise ValueError("the version must be HTTP/1.1 or HTTP/1.0")
        elif not hosts:
            raise ValueError("there must be a Host header")
        if len(hosts) > 1:
            raise ValueError("there must be only one Host header")
        if not self.url.startswith(b"/") and (absolute := ABSOLUTE.fullmatch(self.url)):
            # The Host header is ignored, even where it says something else.
            hosts = [absolute["authority"]]
            self.url = b"/" + absolute["rest"].removeprefix(b"/")
            others = [header for header in self.headers if header[0] != b"host"]
            self.headers[:] = [(b"host", hosts[0]), *others]
        if asks_for_upgrade:  # without `Connection: upgrade`
            self.headers[:] = [header for header in self.headers if header[0] != b"upgrade"]
        if hosts and not is_host(hosts[0]):
            raise ValueError("the Host must be a name or an address, and perhaps a port")

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self.unfinished = 0

    def on_message_complete(self) -> None:
        if not self.is_in_body:
            return  # the head is read again
        super().on_message_complete()
        self.is_in_body = False
        self.unfinished = 0

    # --- What is answered ---------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.waiting or self.transport.is_closing():
            return
        if self.pipeline:
            self.flow.pause_reading()  # uvicorn goes on to read after each response
            return
        self._unset_keepalive_if_required()
        self.parse(self.waiting)
        if self.coalescing.is_read and not self.eof_received():
            self.transport.close()

    def refuse(self, kind: ProblemType, detail: str) -> None:
        """Answer the message under way with a problem, once earlier ones are answered; then close.

        LastResort raises the problem, in place of handing out the (rest of the) body.
        """
        self.ignores_input = True
        if not self.is_in_body:
            # What is no request gets one, so that its answer waits for its turn. Pages of other
            # origins may read that, too.
            headers = [header for header in self.headers or () if header[0] == b"origin"][:1]
            self.parser = self.new_parser()
            self.parser.feed_data(b"GET / HTTP/1.0\r\n\r\n")
            self.cycle.scope |= {"method": "-", "path": "-", "raw_path": b"-"}  # for the log
            self.cycle.scope["headers"] = headers
        elif self.cycle.response_complete:
            self.transport.close()
        self.cycle.scope["state"]["refusal"] = Problem(kind, detail)
        self.cycle.keep_alive = False
        self.cycle.message_event.set()
