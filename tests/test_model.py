"""The API against a model of it: whatever a client does in whatever order, they agree.

The model is a dictionary of rows for each resource, and says for each request what the answer
must be. Hypothesis makes up the requests: some are right, some name what is gone, clash with
what exists, or come with the entity tag of an older state.
"""

from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from fastapi.testclient import TestClient
from hypothesis import Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import empty
from tests.samples import STORE, Json, problem

UNKNOWN = "01a1fab7-dbdc-74d8-8e14-fd8c30a0df91"

# --- What clients send ----------------------------------------------------------------------

# Few values, so that they often clash and filters often find something.
NAMES = st.sampled_from(["Atlas", "atlas 2", "100 %", "Zoë", "a_b"])
CITIES = st.sampled_from(["Lisbon", "Porto"])
CURRENCIES = st.sampled_from(["EUR", "USD"])
PRICES = st.sampled_from([0, 0.01, 3.33, 19.99, 9999999999.99])
CODES = st.sampled_from(["A", "a", "B"])
COUNTS = st.integers(0, 2)
PERCENTS = st.sampled_from([0, 15, 50, 100])
LIMITS = st.integers(1, 2)
QUANTITIES = st.sampled_from([1, 2, 7, 600_000])

CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["Atlas", "Zoë", None]),
        "city": CITIES,
        "currency": CURRENCIES,
        "description": st.sampled_from(["An atlas", None]),
        "price": PRICES,
        "code": CODES,
        "initCount": st.sampled_from([0, 1, 3, None]),
        "percentOff": PERCENTS,
    },
)
CHANGEABLE = {
    "stores": {"name", "city", "currency"},
    "products": {"name", "description", "price"},
    "coupons": {"code", "initCount", "percentOff"},
}

FILTERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "stores": {"city": CITIES, "currency": CURRENCIES, "q": st.sampled_from(["ATLAS", "%", "ë"])},
    "products": {
        "storeId": st.integers(0, 2),  # a number among those there are
        "q": st.sampled_from(["ATLAS", "%", "_"]),
        "minPrice": PRICES,
        "maxPrice": PRICES,
        "sort": st.sampled_from(["name", "-name", "price", "-price"]),
    },
    "coupons": {"code": CODES},
    "orders": {
        "productId": st.integers(0, 2),
        "couponCode": CODES,
        "sort": st.sampled_from(["date", "-date"]),
    },
}


def matches(row: Json, name: str, value: Any) -> bool:
    """Tell whether a filter lets an object through."""
    match name:
        case "q":
            texts = (row["name"], row.get("description") or "")
            return any(value.lower() in text.lower() for text in texts)
        case "minPrice":
            return bool(row["price"] >= value)
        case "maxPrice":
            return bool(row["price"] <= value)
        case "productId":
            return any(item["product"]["productId"] == value for item in row["items"])
    return bool(row[name] == value)


def queries(kind: str) -> st.SearchStrategy[Json]:
    """Make a list's parameters: one of them, or else any number."""
    optional = FILTERS[kind]
    single = [st.fixed_dictionaries({name: values}) for name, values in optional.items()]
    return st.one_of(*single, st.fixed_dictionaries({}, optional=optional))


def order_body(products: tuple[str, str], counts: tuple[int, int], code: str | None) -> Json:
    items = [
        {"productId": path.removeprefix("/products/"), "quantity": count}
        for path, count in zip(products, counts, strict=True)
        if count
    ]
    return {"items": items, "couponCode": code}


def listed(row: Json) -> Json:
    """Return what a list shows of an object: all but the items of an order."""
    return {name: value for name, value in row.items() if name != "items"}


def amount(value: float) -> Decimal:
    return Decimal(str(value))


# --- The model ------------------------------------------------------------------------------

Seen = tuple[str, str, Json]  # a path, its entity tag, and what was there then
Sent = tuple[str, Json, bytes]  # an idempotency key, an order, and its answer


class Model(RuleBasedStateMachine):
    """Each object is known by its path; bundles hold the paths, those of what is gone included."""

    objects: Bundle[str] = Bundle("objects")  # stores, products and coupons
    stores = objects.filter(lambda path: path.startswith("/stores/"))
    products = objects.filter(lambda path: path.startswith("/products/"))
    orders: Bundle[str] = Bundle("orders")
    tags: Bundle[Seen] = Bundle("tags")
    keys: Bundle[Sent] = Bundle("keys")

    def __init__(self, client: TestClient) -> None:
        super().__init__()
        self.client = client
        self.rows: dict[str, dict[str, Json]] = {kind: {} for kind in FILTERS}

    def teardown(self) -> None:
        empty(self.client)

    # What the API must show

    def shown(self, path: str) -> Json | None:
        """Return what is at a path, None if nothing."""
        _, kind, key = path.split("/")
        row = self.rows[kind].get(key)
        if row is None:
            return None
        if kind == "products":
            return self.product(key)
        if kind == "coupons":
            return row | {"remainingCount": row["initCount"] - self.used(key)}
        if kind == "orders":
            items = [item | {"product": self.product(item["product"])} for item in row["items"]]
            return {name: row[name] for name in row if name != "couponId"} | {"items": items}
        return row

    def product(self, key: str) -> Json:
        """Return what is shown of a product, by itself and in orders."""
        row = self.rows["products"][key]
        return row | {"store": self.shown(f"/stores/{row['storeId']}")}

    def all_shown(self, kind: str) -> list[Json]:
        shown = (self.shown(f"/{kind}/{key}") for key in self.rows[kind])
        return [row for row in shown if row is not None]

    def used(self, coupon_id: str) -> int:
        return sum(order["couponId"] == coupon_id for order in self.rows["orders"].values())

    # What the API must refuse: the statuses of all that is wrong, of which it may name any

    def faults(self, kind: str, members: Json, key: str = "") -> set[int]:
        """Say what is wrong with a new object, or with a change of the one with this key."""
        others = [row for other, row in self.rows[kind].items() if other != key]
        row = self.rows[kind].get(key, {}) | members
        faults = {422 for name in members if row[name] is None and name != "description"}
        if kind == "products" and row["storeId"] not in self.rows["stores"]:
            faults.add(422)
        if kind == "coupons" and (row["initCount"] or 0) < self.used(key):
            faults.add(422)
        unique = {"products": ("storeId", "name"), "coupons": ("code",)}.get(kind)
        if unique and any(all(row[n] == other[n] for n in unique) for other in others):
            faults.add(409)
        return faults

    def is_in_use(self, kind: str, key: str) -> bool:
        if kind == "stores":
            return any(row["storeId"] == key for row in self.rows["products"].values())
        if kind == "products":
            items = (item for row in self.rows["orders"].values() for item in row["items"])
            return any(item["product"] == key for item in items)
        return self.used(key) > 0

    # Creating

    @initialize(target=objects)
    def start(self) -> Any:
        """Begin with something to order, so that the steps are not spent on that."""
        stores = [
            self.create_store(name="Atlas", city=city, currency=currency)
            for city, currency in (("Lisbon", "EUR"), ("Porto", "USD"))
        ]
        products = [
            self.create_product(store=stores[n % 2], name=name, price=price)
            for n, (name, price) in enumerate(
                [("Atlas", 3.33), ("atlas 2", 19.99), ("100 %", 3.33), ("a_b", 0.01)]
            )
        ]
        coupon = self.create_coupon(code="A", initCount=1, percentOff=50)
        return multiple(*stores, *products, coupon)

    def create(self, kind: str, body: Json, row: Json) -> Any:
        """Create an object that is kept as `row`, or have it refused; return the bundle's value."""
        faults = self.faults(kind, body)
        response = self.client.post(f"/{kind}", json=body)
        if faults:
            assert response.status_code in faults, response.text
            return multiple()
        assert response.status_code == 201, response.text
        path: str = response.headers["location"]
        key = path.removeprefix(f"/{kind}/")
        answer = response.json()
        times = {name: answer[name] for name in ("createdAt", "updatedAt")}
        self.rows[kind][key] = row | {f"{kind[:-1]}Id": key} | times
        assert answer == self.shown(path)
        return path

    @rule(target=objects, name=NAMES, city=CITIES, currency=CURRENCIES)
    def create_store(self, **members: str) -> Any:
        body = STORE | members
        return self.create("stores", body, body | {"domain": None, "phone": None, "email": None})

    @rule(target=objects, store=stores, name=NAMES, price=PRICES)
    def create_product(self, store: str, name: str, price: float) -> Any:
        body = {"storeId": store.removeprefix("/stores/"), "name": name, "price": price}
        return self.create("products", body, body | {"description": None})

    @rule(target=objects, code=CODES, initCount=COUNTS, percentOff=PERCENTS)
    def create_coupon(self, **body: Any) -> Any:
        return self.create("coupons", body, body)

    # Ordering

    @rule(
        target=orders,
        one=products,
        other=products,
        counts=st.tuples(QUANTITIES, QUANTITIES | st.just(0)),
        code=st.sampled_from(["A", "a", "B", None]),
    )
    def order(self, one: str, other: str, counts: tuple[int, int], code: str | None) -> Any:
        body = order_body((one, other), counts, code)
        return self.place(body, {})[0] or multiple()

    @rule(target=keys, one=products, count=QUANTITIES, code=st.sampled_from(["A", "a", "B", None]))
    def order_with_a_key(self, one: str, count: int, code: str | None) -> Any:
        key = f"key-{len(self.rows['orders'])}"  # a refused request burns none
        body = order_body((one, one), (count, 0), code)
        path, answer = self.place(body, {"idempotency-key": key})
        return (key, body, answer) if path else multiple()

    def place(self, body: Json, headers: dict[str, str]) -> tuple[str, bytes]:
        """Place an order; return its path (empty if it was refused) and the answer."""
        coupon, faults = self.coupon_of(body)
        lines, more_faults = self.lines_of(body)
        response = self.client.post("/orders", json=body, headers=headers)
        if faults | more_faults:
            assert response.status_code in faults | more_faults, response.text
            return "", response.content
        assert response.status_code == 201, response.text
        answer = response.json()
        totals = totals_of(lines, coupon["percentOff"])
        only = totals[0] if len(totals) == 1 else {"currency": None, "total": None}
        self.rows["orders"][answer["orderId"]] = coupon | {
            "orderId": answer["orderId"],
            "date": answer["date"],
            "currency": only["currency"],
            "total": only["total"],
            "totals": totals,
            "items": lines,
        }
        if key := coupon["couponId"]:  # of which one is used by it
            found = self.client.get(f"/coupons/{key}").json()
            assert found["updatedAt"] > self.rows["coupons"][key]["updatedAt"]
            self.rows["coupons"][key] = self.rows["coupons"][key] | {
                "updatedAt": found["updatedAt"]
            }
        path: str = response.headers["location"]
        assert answer == self.shown(path)
        return path, response.content

    def coupon_of(self, body: Json) -> tuple[Json, set[int]]:
        """Return what an order keeps of its coupon, and what is wrong with it."""
        code = body["couponCode"]
        for key, row in self.rows["coupons"].items():
            if row["code"] == code:
                kept = {"couponId": key, "couponCode": code, "percentOff": row["percentOff"]}
                return kept, {409} if self.used(key) == row["initCount"] else set()
        kept = {"couponId": None, "couponCode": None, "percentOff": 0}
        return kept, {422} if code else set()

    def lines_of(self, body: Json) -> tuple[list[Json], set[int]]:
        """Return the lines of an order, and what is wrong with them."""
        quantities: Counter[str] = Counter()
        for item in body["items"]:
            quantities[item["productId"]] += item["quantity"]
        products = self.rows["products"]
        if not quantities.keys() <= products.keys() or max(quantities.values()) > 1_000_000:
            return [], {422}
        lines: list[Json] = [
            {
                "name": products[key]["name"],
                "unitPrice": products[key]["price"],
                "currency": self.rows["stores"][products[key]["storeId"]]["currency"],
                "quantity": quantity,
                "lineTotal": float(amount(products[key]["price"]) * quantity),
                "product": key,
            }
            for key, quantity in quantities.items()
        ]
        too_large = any(total["subtotal"] > 9999999999.99 for total in totals_of(lines, 0))
        return lines, {422} if too_large else set()

    @rule(first=keys)
    def order_again_with_the_same_key(self, first: Sent) -> None:
        key, body, answer = first
        response = self.client.post("/orders", json=body, headers={"idempotency-key": key})
        assert (response.status_code, response.content) == (201, answer)
        assert response.headers["idempotent-replayed"] == "true"

    @rule(first=keys)
    def order_something_else_with_the_same_key(self, first: Sent) -> None:
        key, body, _ = first
        other = body | {"items": body["items"] * 2}
        response = self.client.post("/orders", json=other, headers={"idempotency-key": key})
        problem(response, 422, "idempotency-key-reused")

    # Changing and deleting

    @rule(seen=tags, members=CHANGES)
    def change(self, seen: Seen, members: Json) -> None:
        path, _, _ = seen
        _, kind, key = path.split("/")
        body = {name: members[name] for name in members if name in CHANGEABLE[kind]}
        if key in self.rows[kind]:
            faults = self.faults(kind, body, key)
        else:
            faults = {404} | ({422} if None in body.values() else set())
        response = self.send("PATCH", seen, faults, body)
        if response:
            self.change_row(kind, key, body, response.json())
            assert (response.status_code, response.json()) == (200, self.shown(path))

    def change_row(self, kind: str, key: str, body: Json, answer: Json) -> None:
        """Change a row, and when it was changed, if it is another one by that."""
        before = self.rows[kind][key]
        changed = before | body
        if changed != before:
            assert answer["updatedAt"] > before["updatedAt"]
            changed["updatedAt"] = answer["updatedAt"]
        self.rows[kind][key] = changed  # what was seen stays as it was

    @rule(seen=tags)
    def delete(self, seen: Seen) -> None:
        _, kind, key = seen[0].split("/")
        if key in self.rows[kind]:
            faults = {409} if self.is_in_use(kind, key) else set()
        else:
            faults = {404}
        response = self.send("DELETE", seen, faults)
        if response:
            assert (response.status_code, response.content) == (204, b"")
            del self.rows[kind][key]

    def send(self, method: str, seen: Seen, faults: set[int], body: Json | None = None) -> Any:
        """Send a request on condition of what was seen; if that is not there any more, without.

        Gives the answer, None if it was refused.
        """
        path, tag, then = seen
        headers = {"if-match": tag}
        if self.shown(path) not in (then, None):
            response = self.client.request(method, path, json=body, headers=headers)
            assert response.status_code in faults | {412}, response.text
            headers = {}
        response = self.client.request(method, path, json=body, headers=headers)
        if faults:
            assert response.status_code in faults, response.text
            return None
        return response

    # Reading

    @rule(path=orders)
    def read_order(self, path: str) -> None:
        assert self.client.get(path).json() == self.shown(path)

    @rule(target=tags, path=objects)
    def read(self, path: str) -> Any:
        response = self.client.get(path)
        shown = self.shown(path)
        if shown is None:
            assert response.status_code == 404
            return multiple()
        assert (response.status_code, response.json()) == (200, shown)
        return path, response.headers["etag"], shown

    @rule(seen=tags)
    def read_again(self, seen: Seen) -> None:
        path, tag, then = seen
        response = self.client.get(path, headers={"if-none-match": tag})
        shown = self.shown(path)
        assert response.status_code == (404 if shown is None else 304 if shown == then else 200)

    @rule(filters=queries("stores"), limit=LIMITS)
    def list_stores(self, filters: Json, limit: int) -> None:
        self.list_page_by_page("stores", filters, limit)

    @rule(filters=queries("products"), limit=LIMITS)
    def list_products(self, filters: Json, limit: int) -> None:
        self.list_page_by_page("products", filters, limit)

    @rule(filters=queries("coupons"), limit=LIMITS)
    def list_coupons(self, filters: Json, limit: int) -> None:
        self.list_page_by_page("coupons", filters, limit)

    @rule(filters=queries("orders"), limit=LIMITS)
    def list_orders(self, filters: Json, limit: int) -> None:
        self.list_page_by_page("orders", filters, limit)

    def list_page_by_page(self, kind: str, filters: Json, limit: int) -> None:
        for name, kind_of in (("storeId", "stores"), ("productId", "products")):
            if name in filters:
                keys = [*self.rows[kind_of], UNKNOWN]
                filters = filters | {name: keys[filters[name] % len(keys)]}
        rows = self.all_shown(kind)
        if "sort" in filters:
            by, descends = filters["sort"].removeprefix("-"), filters["sort"][0] == "-"
            rows.sort(key=lambda row: (row[by], row[f"{kind[:-1]}Id"]), reverse=descends)
        for name in filters.keys() - {"sort"}:
            rows = [row for row in rows if matches(row, name, filters[name])]
        expected = [listed(row) for row in rows]
        response = self.client.get(f"/{kind}", params=filters | {"limit": limit})
        while len(expected) > limit:
            assert response.json() == expected[:limit]
            expected = expected[limit:]
            response = self.client.get(response.links["next"]["url"])
        assert (response.json(), response.links) == (expected, {})

    # What holds after every step

    @invariant()
    def lists_are_those_of_the_model_and_add_up(self) -> None:
        lists = {kind: self.client.get(f"/{kind}?limit=200").json() for kind in self.rows}
        assert lists == {kind: [listed(r) for r in self.all_shown(kind)] for kind in self.rows}
        redemptions = sum(row["initCount"] - row["remainingCount"] for row in lists["coupons"])
        assert redemptions == sum(row["couponCode"] is not None for row in lists["orders"])
        for total in (total for row in lists["orders"] for total in row["totals"]):
            rest = amount(total["subtotal"]) - amount(total["discount"])
            assert rest == amount(total["total"]) >= 0


def totals_of(lines: list[Json], percent_off: int) -> list[Json]:
    """Work out the totals of an order, one for each currency."""
    totals = []
    for currency in sorted({line["currency"] for line in lines}):
        subtotal = sum(
            (amount(line["lineTotal"]) for line in lines if line["currency"] == currency),
            Decimal(0),
        )
        discount = (subtotal * percent_off / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
        amounts = {"subtotal": subtotal, "discount": discount, "total": subtotal - discount}
        totals.append({"currency": currency} | {name: float(a) for name, a in amounts.items()})
    return totals


@pytest.mark.parametrize("examples", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_answers_are_those_of_the_model_whatever_happens(client: TestClient, examples: int) -> None:
    class ModelOfClient(Model):
        def __init__(self) -> None:
            super().__init__(client)

    run_state_machine_as_test(
        ModelOfClient,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            derandomize=True,
            deadline=None,
            phases=[Phase.generate],  # add Phase.shrink for the shortest way to a failure: minutes
        ),
    )
