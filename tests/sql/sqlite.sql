-- a plain object: GET /todos/{todoId}
SELECT todos.task AS c0, todos.complete AS c1, todos.created_at AS c2, todos.updated_at AS c3, todos.todo_id AS c4
FROM todos
WHERE todos.todo_id = ?;

-- an object with another in it: GET /products/{productId}
SELECT products.name AS c0, products.description AS c1, products.price AS c2, products.store_id AS c3, products.created_at AS c4, products.updated_at AS c5, products.product_id AS c6, stores_1.name AS c7, stores_1.city AS c8, stores_1.country AS c9, stores_1.currency AS c10, stores_1.street AS c11, stores_1.zipcode AS c12, stores_1.domain AS c13, stores_1.phone AS c14, stores_1.email AS c15, stores_1.created_at AS c16, stores_1.updated_at AS c17, stores_1.store_id AS c18
FROM products JOIN stores AS stores_1 ON products.store_id = stores_1.store_id
WHERE products.product_id = ?;

-- an object with lists, and others in their items: GET /orders/{orderId}
SELECT 0 AS list, parents.order_id AS "key", parents.order_id AS c0, parents.date AS c1, parents.coupon_id AS c2, parents.coupon_code AS c3, parents.percent_off AS c4, CAST(NULL AS VARCHAR(3)) AS c5, CAST(NULL AS NUMERIC(12, 2)) AS c6, CAST(NULL AS NUMERIC(12, 2)) AS c7, CAST(NULL AS NUMERIC(12, 2)) AS c8, CAST(NULL AS VARCHAR(3)) AS c9, CAST(NULL AS INTEGER) AS c10, CAST(NULL AS VARCHAR(200)) AS c11, CAST(NULL AS NUMERIC(12, 2)) AS c12, CAST(NULL AS VARCHAR(3)) AS c13, CAST(NULL AS INTEGER) AS c14, CAST(NULL AS VARCHAR(200)) AS c15, CAST(NULL AS VARCHAR) AS c16, CAST(NULL AS NUMERIC(12, 2)) AS c17, CAST(NULL AS CHAR(32)) AS c18, CAST(NULL AS DATETIME) AS c19, CAST(NULL AS DATETIME) AS c20, CAST(NULL AS CHAR(32)) AS c21, CAST(NULL AS VARCHAR(200)) AS c22, CAST(NULL AS VARCHAR(200)) AS c23, CAST(NULL AS VARCHAR(200)) AS c24, CAST(NULL AS VARCHAR(3)) AS c25, CAST(NULL AS VARCHAR(200)) AS c26, CAST(NULL AS VARCHAR(200)) AS c27, CAST(NULL AS VARCHAR) AS c28, CAST(NULL AS VARCHAR) AS c29, CAST(NULL AS VARCHAR) AS c30, CAST(NULL AS DATETIME) AS c31, CAST(NULL AS DATETIME) AS c32, CAST(NULL AS CHAR(32)) AS c33, CAST(NULL AS INTEGER) AS c34
FROM orders AS parents
WHERE parents.order_id = ?
UNION ALL SELECT 1, parents.order_id, CAST(NULL AS CHAR(32)) AS anon_1, CAST(NULL AS DATETIME) AS anon__1, CAST(NULL AS CHAR(32)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, order_totals_1.currency, order_totals_1.subtotal, order_totals_1.discount, order_totals_1.total, order_totals_1.currency AS currency__1, CAST(NULL AS INTEGER) AS anon__5, CAST(NULL AS VARCHAR(200)) AS anon__6, CAST(NULL AS NUMERIC(12, 2)) AS anon__7, CAST(NULL AS VARCHAR(3)) AS anon__8, CAST(NULL AS INTEGER) AS anon__9, CAST(NULL AS VARCHAR(200)) AS anon__10, CAST(NULL AS VARCHAR) AS anon__11, CAST(NULL AS NUMERIC(12, 2)) AS anon__12, CAST(NULL AS CHAR(32)) AS anon__13, CAST(NULL AS DATETIME) AS anon__14, CAST(NULL AS DATETIME) AS anon__15, CAST(NULL AS CHAR(32)) AS anon__16, CAST(NULL AS VARCHAR(200)) AS anon__17, CAST(NULL AS VARCHAR(200)) AS anon__18, CAST(NULL AS VARCHAR(200)) AS anon__19, CAST(NULL AS VARCHAR(3)) AS anon__20, CAST(NULL AS VARCHAR(200)) AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__22, CAST(NULL AS VARCHAR) AS anon__23, CAST(NULL AS VARCHAR) AS anon__24, CAST(NULL AS VARCHAR) AS anon__25, CAST(NULL AS DATETIME) AS anon__26, CAST(NULL AS DATETIME) AS anon__27, CAST(NULL AS CHAR(32)) AS anon__28, CAST(NULL AS INTEGER) AS anon__29
FROM orders AS parents JOIN order_totals AS order_totals_1 ON parents.order_id = order_totals_1.order_id AND order_totals_1.order_id = ?
WHERE parents.order_id = ?
UNION ALL SELECT 2, parents.order_id, CAST(NULL AS CHAR(32)) AS anon_1, CAST(NULL AS DATETIME) AS anon__30, CAST(NULL AS CHAR(32)) AS anon__31, CAST(NULL AS VARCHAR) AS anon__32, CAST(NULL AS INTEGER) AS anon__33, CAST(NULL AS VARCHAR(3)) AS anon__34, CAST(NULL AS NUMERIC(12, 2)) AS anon__35, CAST(NULL AS NUMERIC(12, 2)) AS anon__36, CAST(NULL AS NUMERIC(12, 2)) AS anon__37, CAST(NULL AS VARCHAR(3)) AS anon__38, order_items_1.line, order_items_1.name, order_items_1.unit_price, order_items_1.currency, order_items_1.quantity, products_1.name AS name_1, products_1.description, products_1.price, products_1.store_id, products_1.created_at, products_1.updated_at, products_1.product_id, stores_1.name AS name_2, stores_1.city, stores_1.country, stores_1.currency AS currency_1, stores_1.street, stores_1.zipcode, stores_1.domain, stores_1.phone, stores_1.email, stores_1.created_at AS created_at_1, stores_1.updated_at AS updated_at_1, stores_1.store_id AS store_id_1, order_items_1.line AS line__1
FROM orders AS parents JOIN order_items AS order_items_1 ON parents.order_id = order_items_1.order_id AND order_items_1.order_id = ? JOIN products AS products_1 ON order_items_1.product_id = products_1.product_id JOIN stores AS stores_1 ON products_1.store_id = stores_1.store_id
WHERE parents.order_id = ?
ORDER BY list, c9, c34;

-- a page: GET /stores
SELECT stores.name AS c0, stores.city AS c1, stores.country AS c2, stores.currency AS c3, stores.street AS c4, stores.zipcode AS c5, stores.domain AS c6, stores.phone AS c7, stores.email AS c8, stores.created_at AS c9, stores.updated_at AS c10, stores.store_id AS c11
FROM stores
ORDER BY stores.store_id ASC
LIMIT ? OFFSET ?;

-- a page of objects with others in them: GET /products
SELECT products.name AS c0, products.description AS c1, products.price AS c2, products.store_id AS c3, products.created_at AS c4, products.updated_at AS c5, products.product_id AS c6, stores_1.name AS c7, stores_1.city AS c8, stores_1.country AS c9, stores_1.currency AS c10, stores_1.street AS c11, stores_1.zipcode AS c12, stores_1.domain AS c13, stores_1.phone AS c14, stores_1.email AS c15, stores_1.created_at AS c16, stores_1.updated_at AS c17, stores_1.store_id AS c18
FROM products JOIN stores AS stores_1 ON products.store_id = stores_1.store_id
ORDER BY products.product_id ASC
LIMIT ? OFFSET ?;

-- a page, filtered: GET /stores?city=Lisbon&q=book
SELECT anon_1.name
FROM pragma_table_info(?) AS anon_1
WHERE (SELECT count(*) AS count_1
FROM sqlite_master
WHERE sqlite_master.type = ? AND sqlite_master.name LIKE ?) = ?;
SELECT count(*) AS count_1
FROM (SELECT 1
FROM stores_trgm
WHERE stores_trgm MATCH ?
LIMIT ? OFFSET ?) AS anon_1;
SELECT stores.name AS c0, stores.city AS c1, stores.country AS c2, stores.currency AS c3, stores.street AS c4, stores.zipcode AS c5, stores.domain AS c6, stores.phone AS c7, stores.email AS c8, stores.created_at AS c9, stores.updated_at AS c10, stores.store_id AS c11
FROM stores
WHERE stores.city = ? AND (lower(stores.name) LIKE '%' || lower(?) || '%' ESCAPE '/') AND stores.store_id IN (SELECT stores_trgm_keys."key"
FROM stores_trgm_keys JOIN stores_trgm ON stores_trgm_keys.id = stores_trgm.rowid
WHERE stores_trgm MATCH ?)
ORDER BY stores.store_id ASC
LIMIT ? OFFSET ?;

-- a page of objects with others in them, filtered: GET /products?storeId={storeId}&minPrice=1
WITH parents AS (SELECT products.version AS version, products.name AS name, products.description AS description, products.price AS price, products.store_id AS store_id, products.created_at AS created_at, products.updated_at AS updated_at, products.product_id AS product_id
FROM products
WHERE products.price >= ? AND products.store_id = ?
ORDER BY products.product_id ASC
LIMIT ? OFFSET ?) SELECT parents.name AS c0, parents.description AS c1, parents.price AS c2, parents.store_id AS c3, parents.created_at AS c4, parents.updated_at AS c5, parents.product_id AS c6, stores_1.name AS c7, stores_1.city AS c8, stores_1.country AS c9, stores_1.currency AS c10, stores_1.street AS c11, stores_1.zipcode AS c12, stores_1.domain AS c13, stores_1.phone AS c14, stores_1.email AS c15, stores_1.created_at AS c16, stores_1.updated_at AS c17, stores_1.store_id AS c18
FROM parents JOIN stores AS stores_1 ON parents.store_id = stores_1.store_id
ORDER BY parents.product_id ASC;

-- a page, filtered by what is in a list: GET /orders?productId={productId}
WITH parents AS (SELECT orders.order_id AS order_id, orders.date AS date, orders.coupon_id AS coupon_id, orders.coupon_code AS coupon_code, orders.percent_off AS percent_off
FROM order_items JOIN orders ON order_items.order_id = orders.order_id
WHERE order_items.product_id = ?
ORDER BY order_items.date ASC, order_items.order_id ASC
LIMIT ? OFFSET ?) SELECT 0 AS list, parents.order_id AS "key", parents.order_id AS c0, parents.date AS c1, parents.coupon_id AS c2, parents.coupon_code AS c3, parents.percent_off AS c4, CAST(NULL AS VARCHAR(3)) AS c5, CAST(NULL AS NUMERIC(12, 2)) AS c6, CAST(NULL AS NUMERIC(12, 2)) AS c7, CAST(NULL AS NUMERIC(12, 2)) AS c8, CAST(NULL AS VARCHAR(3)) AS c9
FROM parents
UNION ALL SELECT 1, parents.order_id, CAST(NULL AS CHAR(32)) AS anon_1, CAST(NULL AS DATETIME) AS anon__1, CAST(NULL AS CHAR(32)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, order_totals_1.currency, order_totals_1.subtotal, order_totals_1.discount, order_totals_1.total, order_totals_1.currency AS currency__1
FROM parents JOIN order_totals AS order_totals_1 ON parents.order_id = order_totals_1.order_id
ORDER BY list, c1 ASC, c0 ASC, c9;

-- a page, sorted: GET /products?sort=-price
SELECT products.name AS c0, products.description AS c1, products.price AS c2, products.store_id AS c3, products.created_at AS c4, products.updated_at AS c5, products.product_id AS c6, stores_1.name AS c7, stores_1.city AS c8, stores_1.country AS c9, stores_1.currency AS c10, stores_1.street AS c11, stores_1.zipcode AS c12, stores_1.domain AS c13, stores_1.phone AS c14, stores_1.email AS c15, stores_1.created_at AS c16, stores_1.updated_at AS c17, stores_1.store_id AS c18
FROM products JOIN stores AS stores_1 ON products.store_id = stores_1.store_id
ORDER BY products.price DESC, products.product_id DESC
LIMIT ? OFFSET ?;

-- a page, from a cursor on: GET /products?sort=-price&after={cursor}
WITH parents AS (SELECT products.version AS version, products.name AS name, products.description AS description, products.price AS price, products.store_id AS store_id, products.created_at AS created_at, products.updated_at AS updated_at, products.product_id AS product_id
FROM products
WHERE (products.price, products.product_id) < (?, ?)
ORDER BY products.price DESC, products.product_id DESC
LIMIT ? OFFSET ?) SELECT parents.name AS c0, parents.description AS c1, parents.price AS c2, parents.store_id AS c3, parents.created_at AS c4, parents.updated_at AS c5, parents.product_id AS c6, stores_1.name AS c7, stores_1.city AS c8, stores_1.country AS c9, stores_1.currency AS c10, stores_1.street AS c11, stores_1.zipcode AS c12, stores_1.domain AS c13, stores_1.phone AS c14, stores_1.email AS c15, stores_1.created_at AS c16, stores_1.updated_at AS c17, stores_1.store_id AS c18
FROM parents JOIN stores AS stores_1 ON parents.store_id = stores_1.store_id
ORDER BY parents.price DESC, parents.product_id DESC;

-- inserted: POST /coupons {"code": "NEW", "initCount": 1}
INSERT INTO coupons (version, code, init_count, percent_off, created_at, updated_at, coupon_id, remaining_count)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- inserted, with a number that the database makes: POST /todos {"task": "Wait"}
INSERT INTO todos (version, task, complete, created_at, updated_at)
VALUES (?, ?, ?, ?, ?)
RETURNING todo_id;

-- inserted, with the key of another: POST /products {"storeId": "{storeId}", "name": "New", "price": 1}
SELECT stores.name AS c0, stores.city AS c1, stores.country AS c2, stores.currency AS c3, stores.street AS c4, stores.zipcode AS c5, stores.domain AS c6, stores.phone AS c7, stores.email AS c8, stores.created_at AS c9, stores.updated_at AS c10, stores.store_id AS c11
FROM stores
WHERE stores.store_id IN (?);
INSERT INTO products (version, name, description, price, store_id, created_at, updated_at, product_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- inserted with lists, after others are read by their keys: POST /orders {"items": [{"productId": "{productId}", "quantity": 1}], "couponCode": "OLD"}
SELECT products.name AS c0, products.description AS c1, products.price AS c2, products.store_id AS c3, products.created_at AS c4, products.updated_at AS c5, products.product_id AS c6, stores_1.name AS c7, stores_1.city AS c8, stores_1.country AS c9, stores_1.currency AS c10, stores_1.street AS c11, stores_1.zipcode AS c12, stores_1.domain AS c13, stores_1.phone AS c14, stores_1.email AS c15, stores_1.created_at AS c16, stores_1.updated_at AS c17, stores_1.store_id AS c18
FROM products JOIN stores AS stores_1 ON products.store_id = stores_1.store_id
WHERE products.product_id IN (?);
SAVEPOINT sa_savepoint_1;
UPDATE coupons SET version=(coupons.version + ?), updated_at=?, remaining_count=(coupons.remaining_count - ?)
WHERE coupons.code = ? AND coupons.remaining_count > ?
RETURNING version, code, init_count, percent_off, created_at, updated_at, coupon_id, remaining_count;
INSERT INTO orders (order_id, date, coupon_id, coupon_code, percent_off)
VALUES (?, ?, ?, ?, ?);
INSERT INTO order_totals (subtotal, discount, total, order_id, currency)
VALUES (?, ?, ?, ?, ?);
INSERT INTO order_items (line, name, unit_price, currency, quantity, order_id, product_id, date, coupon_code)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- changed: PATCH /products/{productId} {"price": 2}
SAVEPOINT sa_savepoint_1;
SELECT products.version, products.name, products.description, products.price, products.store_id, products.created_at, products.updated_at, products.product_id, stores_1.version AS version_1, stores_1.name AS name_1, stores_1.city, stores_1.country, stores_1.currency, stores_1.street, stores_1.zipcode, stores_1.domain, stores_1.phone, stores_1.email, stores_1.created_at AS created_at_1, stores_1.updated_at AS updated_at_1, stores_1.store_id AS store_id_1
FROM products LEFT OUTER JOIN stores AS stores_1 ON stores_1.store_id = products.store_id
WHERE products.product_id = ?;
UPDATE products SET version=?, price=?, updated_at=?
WHERE products.product_id = ? AND products.version = ?;

-- deleted: DELETE /todos/{todoId}
SAVEPOINT sa_savepoint_1;
DELETE
FROM todos
WHERE todos.todo_id = ?;
