"""Where a request ends: what may be read in two ways is refused, and nothing after it is read.

Each row has the bytes, the statuses of the answers, and the to-dos that exist afterwards. Every one
is sent in one packet and byte by byte. Where `closes` stands, it is the server that ends the
connection; elsewhere the client has no more to send.
"""

from dataclasses import dataclass

import pytest

from tests.edge.wire import HOST, JSON, Server, chunked, get, request, task, todo

NEXT = todo("next")
HEALTH = get("/health")
LENGTH = f"Content-Length: {len(task('a'))}"
CHUNKED = "Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Row:
    sent: bytes
    statuses: list[int]
    tasks: str = ""
    closes: bool = False


def refused(*lines: str, body: bytes = b"", start: str = "POST /todos") -> Row:
    """A request that is refused, so that the next one is not read."""
    return Row(request(start, *lines, body=body) + NEXT, [400], closes=True)


def lengths(*lines: str) -> Row:
    return refused(HOST, JSON, *lines, body=task("a"))


def codings(*lines: str) -> Row:
    return refused(HOST, JSON, *lines, body=b"d\r\n" + task("a") + b"\r\n0\r\n\r\n")


def chunks(body: bytes) -> Row:
    return refused(HOST, JSON, CHUNKED, body=body)


def head(text: str) -> Row:
    return Row(text.encode("latin-1") + NEXT, [400], closes=True)


TODO = f"POST /todos HTTP/1.1\r\n{HOST}\r\n{JSON}\r\n"
OLD = request("POST /todos", HOST, JSON, LENGTH, body=task("a"), version="HTTP/1.0")

TABLE = {
    # Several requests at once.
    "pipeline": Row(todo("a") + chunked("b") + HEALTH + todo("c"), [201, 201, 200, 201], "abc"),
    "fifty": Row(HEALTH * 50, [200] * 50),
    "pipeline after an error": Row(get("/nope") + todo("a"), [404, 201], "a"),
    "pipeline after a body that nobody reads": Row(
        request("GET /health", HOST, "Content-Length: 9", body=b"GET / HTT") + todo("a"),
        [200, 201],
        "a",
    ),
    "empty lines between": Row(b"\r\n\r\n" + todo("a") + b"\r\n\r\n" + todo("b"), [201] * 2, "ab"),
    "close": Row(get("/health", "Connection: close") + NEXT, [200], closes=True),
    "close, and nonsense": Row(get("/health", "Connection: close") + b"\0", [200], closes=True),
    "last is refused": Row(todo("a") + HEALTH + b"NONSENSE" + NEXT, [201, 200, 400], "a", True),
    "bad body is last": Row(
        HEALTH + chunked("a", end=b"x") + NEXT, [200, 400], closes=True
    ),
    # Lengths and codings.
    "length of nothing": Row(request("GET /health", HOST, "Content-Length: 0") + HEALTH, [200] * 2),
    "length with zeros": Row(
        request("POST /todos", HOST, JSON, f"Content-Length: 000{len(task('a'))}", body=task("a")),
        [201],
        "a",
    ),
    "length and chunked": lengths(LENGTH, CHUNKED),
    "chunked and length": codings(CHUNKED, LENGTH),
    "two lengths": lengths("Content-Length: 2", LENGTH),
    "same length twice": lengths(LENGTH, LENGTH),
    "list of lengths": lengths(f"{LENGTH}, {len(task('a'))}"),
    "length with a sign": lengths(LENGTH.replace(": ", ": +")),
    "negative length": lengths(LENGTH.replace(": ", ": -")),
    "length in hexadecimal": lengths(LENGTH.replace(": ", ": 0x")),
    "length and more": lengths(f"{LENGTH} 1"),
    "length before a space": lengths(LENGTH.replace(":", " :")),
    "length past 64 bits": lengths("Content-Length: 18446744073709551628"),
    "no length": lengths("Content-Length:"),
    "xchunked": codings("Transfer-Encoding: xchunked"),
    "chunkedx": codings("Transfer-Encoding: chunkedx"),
    "quoted": codings('Transfer-Encoding: "chunked"'),
    "identity": codings("Transfer-Encoding: identity"),
    "chunked, identity": codings("Transfer-Encoding: chunked, identity"),
    "chunked twice": codings("Transfer-Encoding: chunked, chunked"),
    "chunked in two lines": codings(CHUNKED, CHUNKED),
    "chunked, then identity": codings(CHUNKED, "Transfer-Encoding: identity"),
    "chunked with a parameter": codings("Transfer-Encoding: chunked;a=b"),
    "no coding": codings("Transfer-Encoding:"),
    "coding before a space": codings("Transfer-Encoding : chunked"),
    "coding after a vertical tab": codings("Transfer-Encoding: \x0bchunked"),
    "coding in a folded line": codings("Transfer-Encoding:\r\n chunked"),
    "unknown coding": codings("Transfer-Encoding: gzip"),
    # Chunks.
    "extension": Row(
        request("POST /todos", HOST, JSON, CHUNKED, body=b'd;a="b";c\r\n' + task("a"))
        + b"\r\n000;d\r\n\r\n"
        + HEALTH,
        [201, 200],
        "a",
    ),
    "trailer": Row(chunked("a", end=b"0\r\nA: b\r\n\r\n") + HEALTH, [201, 200], "a"),
    "trailer with a length": Row(
        chunked("a", end=b"0\r\nContent-Length: 9\r\n\r\n") + NEXT, [400], closes=True
    ),
    "chunk size in words": chunks(b"two\r\n"),
    "chunk size of nothing": chunks(b"\r\n"),
    "chunk size with 0x": chunks(b"0xd\r\n" + task("a") + b"\r\n0\r\n\r\n"),
    "chunk size with a sign": chunks(b"+d\r\n" + task("a") + b"\r\n0\r\n\r\n"),
    "chunk size before a space": chunks(b"d \r\n" + task("a") + b"\r\n0\r\n\r\n"),
    "chunk size past 64 bits": chunks(b"1000000000000000d\r\n" + task("a")),
    "chunk size before LF": chunks(b"d\n" + task("a") + b"\r\n0\r\n\r\n"),
    "extension before LF": chunks(b"d;a\n" + task("a") + b"\r\n0\r\n\r\n"),
    "extension with CR": chunks(b"d;a\rb\r\n" + task("a") + b"\r\n0\r\n\r\n"),
    "chunk without end": chunks(b"d\r\n" + task("a") + b"0\r\n\r\n"),
    "chunk ends with others": chunks(b"d\r\n" + task("a") + b"XX0\r\n\r\n"),
    "chunk ends with LF": chunks(b"d\r\n" + task("a") + b"\n0\r\n\r\n"),
    # Lines of the head.
    "LF": head(f"{TODO}{LENGTH}\r\n\r\n".replace("\r\n", "\n")),
    "LF after a header": head(f"{TODO}A: b\n{LENGTH}\r\n\r\n"),
    "LF at the end": head(f"{TODO}{LENGTH}\r\n\n"),
    "CR in a header": head(f"{TODO}A: b\rContent-Length: 0\r\n\r\n"),
    "CR, CR, LF": head(f"{TODO}A: b\r\r\n\r\n"),
    "NUL in a header": head(f"{TODO}A: \0\r\n\r\n"),
    "NUL in a name": head(f"{TODO}A\0: b\r\n\r\n"),
    "folded": head(f"{TODO}A: b\r\n c\r\n\r\n"),
    "folded at first": head(f"POST /todos HTTP/1.1\r\n {HOST}\r\n\r\n"),
    "no colon": head(f"{TODO}A\r\n\r\n"),
    "no name": head(f"{TODO}: a\r\n\r\n"),
    "tab for a space": head(f"{TODO}".replace(" ", "\t", 1)),
    "noise": head("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
    # Host, and what names another one.
    "no Host": refused(start="GET /health"),
    "two Hosts": refused(HOST, "Host: evil.example", start="GET /health"),
    "same Host twice": refused(HOST, HOST, start="GET /health"),
    "absolute without Host": refused(start="GET http://localhost/health"),
    "absolute with a user": refused(HOST, start="GET http://a@localhost/health"),
    "absolute": Row(request("GET http://localhost/health", HOST) + HEALTH, [200, 200]),
    "absolute in capitals": Row(request("GET HTTP://LOCALHOST/health", HOST), [200]),
    "absolute without a path": Row(request("GET http://localhost", HOST), [200]),
    "absolute with a query": Row(request("GET http://localhost?a=1", HOST), [422]),
    "absolute, elsewhere": Row(request("GET http://evil.example/todos", HOST), [401]),
    "absolute, here": Row(request("GET http://localhost/todos", "Host: evil.example"), [200]),
    "authority": refused(HOST, start="GET localhost:80"),
    "asterisk": Row(request("OPTIONS *", HOST) + HEALTH, [404, 200]),
    # Versions.
    "HTTP/1.0": Row(OLD + NEXT, [201], "a", closes=True),
    "HTTP/1.0 that is kept": Row(
        OLD.replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1) + NEXT, [201], "a", closes=True
    ),
    "HTTP/1.0 with chunks": Row(
        chunked("a").replace(b"HTTP/1.1", b"HTTP/1.0") + NEXT, [201], "a", closes=True
    ),
    "HTTP/1.0 with two Hosts": Row(
        request("GET /health", HOST, HOST, version="HTTP/1.0") + NEXT, [400], closes=True
    ),
    "HTTP/0.9": Row(b"GET /health\r\n", []),
    "HTTP/0.9 with headers": Row(f"GET /health\r\n{HOST}\r\n\r\n".encode() + NEXT, [400], "", True),
    "HTTP/1.2": Row(request("GET /health", HOST, version="HTTP/1.2") + NEXT, [400], closes=True),
    "HTTP/2": Row(request("GET /health", HOST, version="HTTP/2.0") + NEXT, [400], closes=True),
    "HTTP/2 preface": Row(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + NEXT, [400], closes=True),
    # What never comes whole.
    "nothing": Row(b"", []),
    "half a head": Row(todo("a") + HEALTH[:-1], [201], "a"),
    "half a body": Row(todo("a") + NEXT[:-1], [201, 400], "a"),
    "half a chunk": Row(chunked("a", end=b""), [400]),
}  # fmt: skip


@pytest.mark.parametrize("packets", ["one", "bytes"])
def test_requests_have_these_answers_and_effects(
    server: Server, packets: str, subtests: pytest.Subtests
) -> None:
    for name, row in TABLE.items():
        with subtests.test(name):
            sent = [row.sent] if packets == "one" else [bytes([byte]) for byte in row.sent]
            check_exchange(server, row, sent)


def check_exchange(server: Server, row: Row, sent: list[bytes]) -> None:
    server.clear()
    found = server.exchange(*sent, ends=not row.closes)
    assert [answer.status for answer in found] == row.statuses
    assert server.tasks() == list(row.tasks)
    for answer in found:
        assert answer.headers["x-request-id"]
        if answer.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["requestId"] == answer.headers["x-request-id"]
    if row.closes:
        assert found[-1].headers["connection"] == "close"


def test_trailer_is_no_header(server: Server) -> None:
    end = b"0\r\nX-Request-ID: of-the-trailer\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    found = server.exchange(chunked("a", end=end), get("/todos"))
    assert [answer.status for answer in found] == [201, 200]
    assert "of-the-trailer" not in {answer.headers["x-request-id"] for answer in found}


def test_refusal_has_one_line_in_the_log(server: Server) -> None:
    (no_request,) = server.exchange(b"NONSENSE\r\n\r\n")
    (bad_body,) = server.exchange(chunked("a", end=b"x"))
    for answer, message in ((no_request, "- - 400"), (bad_body, "POST /todos 400")):
        (line,) = server.lines_of(answer)
        assert line["message"] == message
        assert line["client"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("path", "status"), [("/health", 200), ("/nope", 404), ("/todos?x", 422), ("/token", 405)]
)
def test_no_answer_to_head_has_a_body(server: Server, path: str, status: int) -> None:
    body = b"GET / HTTP/1.1\r\n\r\n"
    sent = request(f"HEAD {path}", HOST, f"Content-Length: {len(body)}", body=body)
    found = server.exchange(sent * 2, method="HEAD")
    assert [answer.status for answer in found] == [status] * 2


def test_no_answer_of_204_or_304_has_a_body(server: Server) -> None:
    (created,) = server.exchange(todo("a"))
    path = created.headers["location"]
    known = get(path, "If-None-Match: *", "Content-Length: 2") + b"{}"
    deleted = request(f"DELETE {path}", HOST, "Content-Length: 2", body=b"{}")
    found = server.exchange(known + request(f"OPTIONS {path}", HOST) + deleted + get("/health"))
    assert [answer.status for answer in found] == [304, 204, 204, 200]


def test_http_1_0_is_not_told_to_continue(server: Server) -> None:
    lines = (HOST, JSON, LENGTH, "Expect: 100-continue")
    sent = request("POST /todos", *lines, body=task("a"), version="HTTP/1.0")
    with server.connect() as connection:
        connection.sendall(sent)
        assert connection.recv(100).startswith(b"HTTP/1.1 201 ")
