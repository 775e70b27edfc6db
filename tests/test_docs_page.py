"""The pages work in a real browser that reaches nothing but the server.

What they do does not depend on the database, so it is SQLite.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx2
import pytest

from tests.browser import CHROMIUM, Tab, new_tab, running_browser
from tests.conftest import ROOT
from tests.live import COMMAND, create_user, running_server, served_by
from tests.samples import STORE
from tests.sessions import blocks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_browser(tmp_path_factory.mktemp("browser")) as address:
        yield address


@pytest.fixture
def tab(browser: str) -> Iterator[Tab]:
    with new_tab(browser) as tab:
        yield tab


def execute(tab: Tab, operation: str, body: str = "") -> int:
    """Send the request of an operation with "Try it out", and return the status that is shown."""
    block = f"#operations-{operation}"
    tab.click(f"{block} .opblock-summary-control")
    tab.click(f"{block} .try-out__btn")
    if body:
        tab.write(f"{block} textarea.body-param__text", body)
    tab.click(f"{block} .btn.execute")
    status = tab.text(f"{block} .live-responses-table .response .response-col_status")
    return int(status.split()[0])


SIGNS = {"/": "main pre", "/docs": "#operations-orders-createOrder", "/redoc": "a[href*=redocly]"}


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_pages_show_with_no_error_and_nothing_from_elsewhere(
    tab: Tab, tmp_path: Path, prefix: str
) -> None:
    with running_server(tmp_path, API_PREFIX=prefix) as server:
        for path, sign in SIGNS.items():
            tab.open(server + prefix + path)
            assert tab.text(sign)
            assert f"{server}{prefix}{path}" in tab.requests
            tab.run("new Promise(done => requestIdleCallback(done))")
    elsewhere = [url for url in tab.requests if not url.startswith((server, "data:", "blob:"))]
    assert elsewhere == []
    assert tab.errors == []


COUNTS = "[...document.querySelectorAll('#collections a')].map(a => [a.innerText, a.dataset.count])"


def test_first_page_counts_what_there_is_and_shows_the_last_orders(
    tab: Tab, tmp_path: Path
) -> None:
    with running_server(tmp_path) as server, httpx2.Client(base_url=server) as client:
        tab.open(server)
        assert tab.text("#collections")
        tab.wait_for(f"{COUNTS}.every(([, count]) => count === '0')")
        assert tab.run("document.querySelector('#orders').hidden")

        store = client.post("/stores", json=STORE).json()
        other = client.post("/stores", json=STORE | {"currency": "USD"}).json()
        items = []
        for store_id, price in ((store["storeId"], 1.5), (other["storeId"], 2)):
            body = {"storeId": store_id, "name": "<b>", "price": price}
            product = client.post("/products", json=body).json()
            items.append({"productId": product["productId"], "quantity": 1})
        code = "<i>" + "W" * 60
        client.post("/coupons", json={"code": code, "initCount": 9})
        for number in range(7):
            coupon = {"couponCode": code} if number == 6 else {}
            client.post("/orders", json={"items": items} | coupon)
        tab.call("Page.reload")
        counts = f"Object.fromEntries({COUNTS})"
        tab.wait_for(f"{counts}.orders === '7' && {counts}.todos === '0'")
        expected = {"stores": "2", "products": "2", "orders": "7", "coupons": "1"}
        assert tab.run(counts) == expected | {"users": "0", "todos": "0"}
        rows = tab.run(
            "[...document.querySelectorAll('#orders tbody tr')]"
            ".map(row => [row.cells[1].innerText, row.cells[2].innerText])"
        )
        total = "1.50\u00a0EUR + 2.00\u00a0USD"
        assert rows == [[total, code], *[[total, ""]] * 4]
        # On a telephone the table scrolls where it is too wide, and the page does not.
        size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        tab.call("Emulation.setDeviceMetricsOverride", **size)
        assert tab.run("document.documentElement.scrollWidth") <= 400
        assert tab.errors == []


def test_first_page_counts_what_is_public_where_nobody_is_trusted(tab: Tab, tmp_path: Path) -> None:
    with running_server(tmp_path, TRUST_LOCAL="false") as server:
        tab.open(server)
        assert tab.text("#collections")
        tab.wait_for(f"{COUNTS}[1][1] === '0'")
        assert [name for name, count in tab.run(COUNTS) if count] == ["stores", "products"]
        assert tab.run("document.querySelector('#orders').hidden")


def test_order_is_placed_with_the_example_that_the_page_offers(tab: Tab, tmp_path: Path) -> None:
    with running_server(tmp_path) as server, httpx2.Client(base_url=server) as client:
        store = client.post("/stores", json=STORE).json()
        product = {"storeId": store["storeId"], "name": "Atlas", "price": 19.99}
        product_id = client.post("/products", json=product).json()["productId"]
        tab.open(f"{server}/docs")
        tab.click("#operations-orders-createOrder .opblock-summary-control")
        example = json.loads(tab.text("#operations-orders-createOrder .body-param__example"))
        tab.click("#operations-orders-createOrder .opblock-summary-control")
        example["items"][0]["productId"] = product_id

        assert execute(tab, "orders-createOrder", json.dumps(example)) == 201
        assert tab.errors == []
        (order,) = client.get("/orders").json()
        assert (order["total"], order["couponCode"]) == (39.98, None)


def test_documentation_is_dark_where_the_browser_is(tab: Tab, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        for scheme, background in {
            "dark": "rgb(28, 32, 34)",
            "light": "rgba(0, 0, 0, 0)",
        }.items():
            feature = {"name": "prefers-color-scheme", "value": scheme}
            tab.call("Emulation.setEmulatedMedia", features=[feature])
            shown = "getComputedStyle(document.documentElement).backgroundColor"
            if scheme == "dark":
                tab.open(f"{server}/docs")
                assert tab.text(SIGNS["/docs"])
            tab.wait_for(f"{shown} == {json.dumps(background)}")
    assert tab.errors == []


@contextmanager
def other_origin() -> Iterator[str]:
    """Serve an empty page from a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b'<link rel="icon" href="data:,"><p>a frontend</p>')

        def log_message(self, *_: object) -> None:
            pass

    with served_by(Handler) as address:
        yield address


ORDERS = """
const statuses = [];
async function made(path, body) {
  const response = await send("POST", path, body);
  statuses.push(response.status);
  return response.headers.get("Location");
}
const storeId = (await made("/stores", STORE)).split("/").pop();
const product = await made("/products", { storeId, name: "Atlas", price: 20 });
const items = [{ productId: product.split("/").pop(), quantity: 2 }];
for (const n of [1, 2]) await made("/orders", { items });
const page = await fetch(`${api}/orders?limit=1`, {
  headers: { Authorization: `Bearer ${access_token}` },
});
const [next] = page.headers.get("Link").match(/(?<=<)[^>]+/);
const problem = await (await fetch(`${api}/orders`)).json();
const changed = await send("PATCH", todo, { complete: false }, state);
return [(await page.json()).length, next, statuses, problem.status, changed.status];
"""


def test_page_of_another_origin_orders_and_pages_and_changes_with_a_token(
    tab: Tab, tmp_path: Path
) -> None:
    (example,) = blocks("js", (ROOT / "docs" / "frontend.md").read_text("utf-8"))
    create_user(tmp_path, {})
    with other_origin() as page, running_server(tmp_path, CORS_ORIGINS=page) as server:
        tab.open(page)
        tab.text("p")
        script = f"const STORE = {json.dumps(STORE)};{example}{ORDERS}"
        script = script.replace("http://localhost:8000", server)
        length, following, statuses, *refused = tab.run(f"(async () => {{{script}}})()")
        assert (length, statuses, refused) == (1, [201] * 4, [401, 412])
        assert following.startswith(f"{server}/orders?limit=1&after=")
        (todo,) = httpx2.get(f"{server}/todos").json()
        assert todo["complete"] is True


def test_page_of_an_origin_that_is_not_named_reads_nothing(tab: Tab, tmp_path: Path) -> None:
    with other_origin() as page, running_server(tmp_path) as server:
        tab.open(page)
        tab.text("p")
        assert tab.run(f"fetch('{server}/stores').then(() => 'read', () => 'kept')") == "kept"


def test_user_signs_in_with_the_authorize_button(tab: Tab, tmp_path: Path) -> None:
    prefix = "/v1"  # below which the page finds where to sign in
    subprocess.run(
        [COMMAND, "create-user", "ada", "--password-stdin"],
        cwd=tmp_path,
        env=os.environ | {"API_PREFIX": prefix},
        input=b"correct horse\n",
        check=True,
    )
    with running_server(tmp_path, TRUST_LOCAL="false", API_PREFIX=prefix) as server:
        tab.open(f"{server}{prefix}/docs")
        assert execute(tab, "users-listUsers") == 401
        tab.click(".auth-wrapper .authorize")
        tab.write("#oauth_username", "ada")
        tab.write("#oauth_password", "correct horse")
        tab.click(".auth-btn-wrapper .authorize")
        tab.wait_for("document.querySelector('.auth-btn-wrapper').innerText.includes('Logout')")
        tab.click(".btn-done")
        assert execute(tab, "todos-listTodos") == 200

        tab.call("Page.reload")
        tab.wait_for("!!document.querySelector('.auth-wrapper .authorize.locked')")
        assert execute(tab, "users-listUsers") == 200
        kept = tab.run("JSON.stringify({...localStorage})")
        assert "access_token" in kept
        assert "correct horse" not in kept
