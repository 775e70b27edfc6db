"""Made-up data to try things with: the same for the same seed and size, ids and dates included."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice, product
from random import Random
from typing import Any
from unicodedata import normalize
from uuid import UUID

from sqlalchemy import Connection
from sqlmodel import SQLModel

from orders_api.models import Coupon, Order, OrderItem, OrderTotal, OrderTotalOut, Product, Store
from orders_api.storage.batches import BatchInsert

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OPENING = datetime(2026, 1, 1, 9, tzinfo=UTC)  # of the first store
MONTH = timedelta(days=30)  # one in which stores open, then five in which orders come
BATCH = 1000  # rows that one statement inserts
POPULAR = 10_000  # products at most that are ordered, so that memory does not grow with the size
COUPON_EVERY = 4  # orders
ENDINGS = [Decimal(text) for text in ("0.01", "0.05", "0.10", "0.50", "0.00")]

# In the order in which they refer to each other.
TABLES: tuple[type[SQLModel], ...] = (Store, Product, Coupon, Order, OrderItem, OrderTotal)

Row = dict[str, Any]


# --- Words --------------------------------------------------------------------------------

# city, country, currency, form of its postcodes (# is any digit, @ any letter)
CITIES = [
    ("Lisbon", "Portugal", "EUR", "1200-###"),
    ("Porto", "Portugal", "EUR", "4050-###"),
    ("Ghent", "Belgium", "EUR", "90##"),
    ("Bologna", "Italy", "EUR", "401##"),
    ("Lyon", "France", "EUR", "6900#"),
    ("Leipzig", "Germany", "EUR", "041##"),
    ("Seville", "Spain", "EUR", "410##"),
    ("Kraków", "Poland", "PLN", "31-###"),
    ("Gdańsk", "Poland", "PLN", "80-###"),
    ("Zürich", "Switzerland", "CHF", "80##"),
    ("York", "United Kingdom", "GBP", "YO1 #@@"),
    ("Bristol", "United Kingdom", "GBP", "BS1 #@@"),
    ("Göteborg", "Sweden", "SEK", "411 ##"),
    ("Århus", "Denmark", "DKK", "80##"),
    ("Brno", "Czechia", "CZK", "602 ##"),
    ("Portland", "United States", "USD", "972##"),
    ("Chicago", "United States", "USD", "606##"),
    ("Halifax", "Canada", "CAD", "B3H #@#"),
    ("Melbourne", "Australia", "AUD", "30##"),
    ("Kyōto", "Japan", "JPY", "604-8###"),
]
# About what one euro buys, so that a price looks at home in each currency.
RATES = {
    "EUR": 1, "PLN": 4, "CHF": 1, "GBP": 1, "SEK": 11, "DKK": 7, "CZK": 25, "USD": 1, "CAD": 2,
    "AUD": 2, "JPY": 160,
}  # fmt: skip
STREETS = [
    "Station Street", "Market Square", "Mill Lane", "Harbour Road", "Church Street", "Long Street",
    "River Walk", "Castle Hill", "Garden Row", "Bridge Street", "School Lane", "Linden Avenue",
]  # fmt: skip
SIGNS = [
    "Corner", "Harbour", "Old Town", "Blue Door", "Golden Lion", "Little Owl", "Red Lantern",
    "Silver Birch", "Green Gate", "Two Rivers", "White Swan", "Copper Kettle", "North Star",
    "Quiet Fox", "Paper Moon", "Morning", "Lighthouse", "Wild Rose", "Stone Bridge", "Seven Steps",
    "Black Cat", "Honest", "Sunny Side", "Lucky Penny",
]  # fmt: skip
STYLES = [
    "Classic", "Small", "Large", "Pocket", "Everyday", "Handmade", "Vintage", "Striped", "Plain",
    "Midnight", "Winter", "Summer", "Travel", "Royal", "Rustic", "Nordic", "Bright", "Simple",
    "Limited", "Traditional",
]  # fmt: skip
SORTS = [
    "Amber", "Forest", "Ocean", "Cherry", "Lavender", "Walnut", "Ivory", "Sage", "Copper", "Indigo",
    "Maple", "Saffron", "Slate", "Coral", "Olive", "Honey", "Juniper", "Ruby", "Willow", "Pearl",
]  # fmt: skip
# kind of store: what it sells, from and to which price in euros
TRADES = {
    "Books": [("Atlas", 25, 60), ("Novel", 9, 25), ("Cookbook", 18, 40), ("Diary", 8, 20)],
    "Tea": [("Green Tea", 4, 14), ("Black Tea", 4, 12), ("Teapot", 20, 70), ("Herbal Tea", 3, 9)],
    "Bakery": [("Rye Bread", 3, 6), ("Tart", 12, 30), ("Biscuits", 3, 8), ("Cake", 18, 45)],
    "Garden": [("Watering Can", 12, 35), ("Seeds", 2, 6), ("Lantern", 9, 30), ("Planter", 8, 60)],
    "Toys": [("Kite", 12, 40), ("Puzzle", 10, 30), ("Train Set", 40, 150), ("Doll", 12, 45)],
    "Music": [("Ukulele", 40, 180), ("Record", 15, 35), ("Songbook", 12, 28), ("Drum", 35, 240)],
    "Outdoors": [("Tent", 90, 400), ("Flask", 12, 35), ("Hammock", 30, 90), ("Torch", 8, 50)],
    "Ceramics": [("Mug", 9, 28), ("Bowl", 12, 48), ("Vase", 20, 120), ("Plate", 10, 40)],
    "Paper": [("Notebook", 4, 22), ("Calendar", 9, 24), ("Card Set", 5, 15), ("Globe", 30, 130)],
    "Coffee": [("Espresso", 7, 16), ("Grinder", 30, 190), ("Filter Coffee", 7, 15), ("Cup", 8, 20)],
}
PRAISE = [
    "A favourite of our regulars.", "Made not far from here.", "Lasts for years.",
    "Makes a good present.", "New this season.", "The last of its kind.",
    "Comes in recycled packaging.", "Our own choice.",
]  # fmt: skip
CODES = ["WELCOME", "SPRING", "FRIENDS", "THANKS", "WEEKEND", "BIRTHDAY", "FIRST", "HARVEST"]


# --- Rows ---------------------------------------------------------------------------------


class Demo:
    """So many products, with stores, coupons and orders around them."""

    def __init__(self, products: int, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - no secret
        self.counts = {Store: min(products, 3 + products // 50), Product: products}
        self.counts |= {Coupon: len(CODES), Order: products // 5}
        self.now = OPENING

    def fill(self, connection: Connection) -> Iterator[int]:
        """Insert everything; yield after each batch how many objects there are so far."""
        rows = self._rows()
        statements = {table: BatchInsert(table, table, connection.dialect) for table in TABLES}
        done = 0
        while batch := list(islice(rows, BATCH)):
            for table, statement in statements.items():
                if some := [row for its_table, row in batch if its_table is table]:
                    statement.run(connection, [statement.values(row) for row in some])
            done += sum(table in self.counts for table, _ in batch)
            yield done

    def _rows(self) -> Iterator[tuple[type[SQLModel], Row]]:
        popular: dict[str, list[Row]] = {}  # by currency
        every = self.counts[Product] // POPULAR + 1
        step = MONTH / (self.counts[Store] + self.counts[Product])
        names: Counter[str] = Counter()
        for number in range(self.counts[Store]):
            store, trade = self._store(step, names)
            yield Store, store
            share = range(number, self.counts[Product], self.counts[Store])
            products = self._products(step, store, trade, len(share))
            for place, one in zip(share, products, strict=True):
                yield Product, one
                if place % every == 0:
                    popular.setdefault(store["currency"], []).append(one)
        coupons = list(self._coupons())
        yield from ((Coupon, coupon) for coupon in coupons)
        for number in range(self.counts[Order]):
            coupon = coupons[number // COUPON_EVERY % len(coupons)]
            yield from self._order(popular, None if number % COUPON_EVERY else coupon)

    def _store(self, step: timedelta, names: Counter[str]) -> tuple[Row, str]:
        """Make a store, whose name no other has, and say what it trades in."""
        trade = self.random.choice(list(TRADES))
        city, country, currency, postcode = self.random.choice(CITIES)
        name = f"{self.random.choice(SIGNS)} {trade}"
        plain = normalize("NFKD", f"{name} {city}").encode("ascii", "ignore").decode()
        host = plain.lower().replace(" ", "-")
        names[name] += 1
        if names[name] > 1:
            name += f" {city}"
            names[name] += 1
            if names[name] > 1:
                name += f" {names[name]}"
        letters = {"#": "0123456789", "@": "ABCDEHJLNPRSTUWXY"}
        row = {
            "store_id": self._key(step),
            **self._times(),
            "name": name,
            "city": city,
            "country": country,
            "currency": currency,
            "street": f"{self.random.choice(STREETS)} {self.random.randint(1, 120)}",
            "zipcode": "".join(self.random.choice(letters.get(c, c)) for c in postcode),
            "domain": f"https://{host}.example",
            "phone": None,
            "email": f"hello@{host}.example",
        }
        return row, trade

    def _products(self, step: timedelta, store: Row, trade: str, count: int) -> Iterator[Row]:
        names = list(product(STYLES, SORTS, TRADES[trade]))
        for style, sort, (thing, low, high) in self.random.sample(names, count):
            rate = RATES[store["currency"]]
            price = Decimal(self.random.randint(low * rate, high * rate))
            if rate < 25:
                price -= self.random.choice(ENDINGS)
            yield {
                "product_id": self._key(step),
                **self._times(),
                "store_id": store["store_id"],
                "name": f"{style} {sort} {thing}",
                "description": self.random.choice([*PRAISE, None]),
                "price": price,
            }

    def _coupons(self) -> Iterator[Row]:
        uses = range(0, self.counts[Order], COUPON_EVERY)
        for place, code in enumerate(CODES):
            used = len(uses[place :: len(CODES)])
            yield {
                "coupon_id": self._key(timedelta(minutes=1)),
                **self._times(),
                "code": code,
                "percent_off": self.random.choice([5, 10, 15, 20, 25]),
                "init_count": used + 25 * place,  # of the first one none are left
                "remaining_count": 25 * place,
            }

    def _order(
        self, popular: dict[str, list[Row]], coupon: Row | None
    ) -> Iterator[tuple[type[SQLModel], Row]]:
        """Make an order of up to four products, mostly in one currency."""
        step = self.random.random() * 2 * 5 * MONTH / self.counts[Order]
        order = Order(order_id=self._key(step), date=self.now)
        if coupon:
            order.coupon_id, order.coupon_code = coupon["coupon_id"], coupon["code"]
            order.percent_off = coupon["percent_off"]
        yield Order, dict(order)
        currency = self.random.choice(list(popular))
        offers = popular[currency]
        chosen = [
            (currency, one)
            for one in self.random.sample(offers, min(len(offers), self.random.randint(1, 4)))
        ]
        other = self.random.choice(list(popular))
        if other != currency and self.random.random() < 0.1:
            chosen.append((other, self.random.choice(popular[other])))
        subtotals: dict[str, Decimal] = {}
        for line, (currency, one) in enumerate(chosen, 1):
            quantity = self.random.choice([1, 1, 1, 2, 3])
            subtotals[currency] = subtotals.get(currency, Decimal(0)) + quantity * one["price"]
            item = {"order_id": order.order_id, "product_id": one["product_id"], "line": line}
            item |= {"name": one["name"], "unit_price": one["price"], "currency": currency}
            item |= {"quantity": quantity, "date": order.date, "coupon_code": order.coupon_code}
            yield OrderItem, item
        for currency, subtotal in subtotals.items():
            total = OrderTotalOut.of(currency, subtotal, order.percent_off)
            yield OrderTotal, {"order_id": order.order_id, **dict(total)}

    def _times(self) -> Row:
        return {"created_at": self.now, "updated_at": self.now}

    def _key(self, step: timedelta) -> UUID:
        """Let time go on, and make a UUIDv7 (RFC 9562) of it."""
        self.now += step
        milliseconds, rest = divmod((self.now - EPOCH) // timedelta(microseconds=1), 1000)
        # The microseconds stand in the 12 bits after the version, for keys to be in order.
        high = milliseconds << 16 | 7 << 12 | rest * 4096 // 1000
        return UUID(int=high << 64 | 2 << 62 | self.random.getrandbits(62))
