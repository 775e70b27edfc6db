-- BookOut: Columns, of which the database makes some.
SELECT book.title AS c0, book.shelf AS c1, book.weight AS c2, book.status AS c3, book.title_length AS c4, book.book_id AS c5
FROM book
WHERE book.book_id = ?;
SELECT book.title AS c0, book.shelf AS c1, book.weight AS c2, book.status AS c3, book.title_length AS c4, book.book_id AS c5
FROM book
WHERE book.shelf = ?
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT ? OFFSET ?;

-- BookFigures: Counts, sums and what else SQL can say of a book.
SELECT book.title AS c0, book.shelf AS c1, book.weight AS c2, book.status AS c3, book.title_length AS c4, book.book_id AS c5, (SELECT count(*) AS count_1
FROM chapter AS chapter_1
WHERE book.book_id = chapter_1.book_id) AS c6, (SELECT count(*) AS count_2
FROM bookgenre AS bookgenre_1
WHERE book.book_id = bookgenre_1.book_id) AS c7, (SELECT CAST(coalesce(sum(chapter_2.pages), CAST(0 AS INTEGER)) AS BIGINT) AS coalesce_1
FROM chapter AS chapter_2
WHERE book.book_id = chapter_2.book_id) AS c8, (SELECT CAST(coalesce(sum(edition_1.copies), CAST(0 AS BIGINT)) AS BIGINT) AS coalesce_2
FROM edition AS edition_1
WHERE book.book_id = edition_1.book_id) AS c9, (SELECT coalesce(sum(edition_2.price), CAST(0 AS NUMERIC(9, 2))) AS coalesce_3
FROM edition AS edition_2
WHERE book.book_id = edition_2.book_id) AS c10, upper(book.title) AS c11
FROM book
WHERE book.book_id = ?;
SELECT book.title AS c0, book.shelf AS c1, book.weight AS c2, book.status AS c3, book.title_length AS c4, book.book_id AS c5, (SELECT count(*) AS count_1
FROM chapter AS chapter_1
WHERE book.book_id = chapter_1.book_id) AS c6, (SELECT count(*) AS count_2
FROM bookgenre AS bookgenre_1
WHERE book.book_id = bookgenre_1.book_id) AS c7, (SELECT CAST(coalesce(sum(chapter_2.pages), CAST(0 AS INTEGER)) AS BIGINT) AS coalesce_1
FROM chapter AS chapter_2
WHERE book.book_id = chapter_2.book_id) AS c8, (SELECT CAST(coalesce(sum(edition_1.copies), CAST(0 AS BIGINT)) AS BIGINT) AS coalesce_2
FROM edition AS edition_1
WHERE book.book_id = edition_1.book_id) AS c9, (SELECT coalesce(sum(edition_2.price), CAST(0 AS NUMERIC(9, 2))) AS coalesce_3
FROM edition AS edition_2
WHERE book.book_id = edition_2.book_id) AS c10, upper(book.title) AS c11
FROM book
WHERE book.shelf = ?
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT ? OFFSET ?;

-- BookGenres: A list of values through a link table.
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.book_id = ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, parents.author_id AS c6, CAST(NULL AS VARCHAR(200)) AS anon_1
FROM parents
UNION ALL SELECT 1, row_number() OVER (ORDER BY genre_1.name) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS CHAR(32)) AS anon__5, CAST(NULL AS CHAR(32)) AS anon__6, genre_1.name
FROM parents JOIN bookgenre AS bookgenre_1 ON parents.book_id = bookgenre_1.book_id JOIN genre AS genre_1 ON bookgenre_1.genre_id = genre_1.genre_id
ORDER BY list, place;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = ?
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT ? OFFSET ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, parents.author_id AS c6, CAST(NULL AS VARCHAR(200)) AS anon_1
FROM parents
UNION ALL SELECT 1, row_number() OVER (ORDER BY genre_1.name) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS CHAR(32)) AS anon__5, CAST(NULL AS CHAR(32)) AS anon__6, genre_1.name
FROM parents JOIN bookgenre AS bookgenre_1 ON parents.book_id = bookgenre_1.book_id JOIN genre AS genre_1 ON bookgenre_1.genre_id = genre_1.genre_id
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, place;

-- BookLinks: A list of objects through a link table.
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.book_id = ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS CHAR(32)) AS anon__1
FROM parents
UNION ALL SELECT 1, row_number() OVER (ORDER BY genre_1.name) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__2, CAST(NULL AS NUMERIC(9, 3)) AS anon__3, CAST(NULL AS VARCHAR) AS anon__4, CAST(NULL AS INTEGER) AS anon__5, CAST(NULL AS CHAR(32)) AS anon__6, genre_1.name, genre_1.genre_id
FROM parents JOIN bookgenre AS bookgenre_1 ON parents.book_id = bookgenre_1.book_id JOIN genre AS genre_1 ON bookgenre_1.genre_id = genre_1.genre_id
ORDER BY list, place;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = ?
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT ? OFFSET ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS CHAR(32)) AS anon__1
FROM parents
UNION ALL SELECT 1, row_number() OVER (ORDER BY genre_1.name) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__2, CAST(NULL AS NUMERIC(9, 3)) AS anon__3, CAST(NULL AS VARCHAR) AS anon__4, CAST(NULL AS INTEGER) AS anon__5, CAST(NULL AS CHAR(32)) AS anon__6, genre_1.name, genre_1.genre_id
FROM parents JOIN bookgenre AS bookgenre_1 ON parents.book_id = bookgenre_1.book_id JOIN genre AS genre_1 ON bookgenre_1.genre_id = genre_1.genre_id
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, place;

-- BookChapters: A list of objects.
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.book_id = ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS INTEGER) AS anon_1, CAST(NULL AS VARCHAR(200)) AS anon__1, CAST(NULL AS INTEGER) AS anon__2
FROM parents
UNION ALL SELECT 1, row_number() OVER (ORDER BY chapter_1.number) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS NUMERIC(9, 3)) AS anon__4, CAST(NULL AS VARCHAR) AS anon__5, CAST(NULL AS INTEGER) AS anon__6, CAST(NULL AS CHAR(32)) AS anon__7, chapter_1.number, chapter_1.title, chapter_1.pages
FROM parents JOIN chapter AS chapter_1 ON parents.book_id = chapter_1.book_id
ORDER BY list, place;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = ?
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT ? OFFSET ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS INTEGER) AS anon_1, CAST(NULL AS VARCHAR(200)) AS anon__1, CAST(NULL AS INTEGER) AS anon__2
FROM parents
UNION ALL SELECT 1, row_number() OVER (ORDER BY chapter_1.number) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS NUMERIC(9, 3)) AS anon__4, CAST(NULL AS VARCHAR) AS anon__5, CAST(NULL AS INTEGER) AS anon__6, CAST(NULL AS CHAR(32)) AS anon__7, chapter_1.number, chapter_1.title, chapter_1.pages
FROM parents JOIN chapter AS chapter_1 ON parents.book_id = chapter_1.book_id
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, place;

-- BookNotes: A list of objects, each with a list and a count.
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.book_id = ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS INTEGER) AS anon_1, CAST(NULL AS VARCHAR(200)) AS anon__1, CAST(NULL AS INTEGER) AS anon__2, CAST(NULL AS INTEGER) AS anon__3, CAST(NULL AS CHAR(32)) AS anon__4, CAST(NULL AS INTEGER) AS anon__5, CAST(NULL AS VARCHAR(200)) AS anon__6
FROM parents
UNION ALL SELECT 1, row_number() OVER (ORDER BY chapter_1.number) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__7, CAST(NULL AS NUMERIC(9, 3)) AS anon__8, CAST(NULL AS VARCHAR) AS anon__9, CAST(NULL AS INTEGER) AS anon__10, CAST(NULL AS CHAR(32)) AS anon__11, chapter_1.number, chapter_1.title, chapter_1.pages, (SELECT count(*) AS count_1
FROM note AS note_1
WHERE chapter_1.book_id = note_1.book_id AND chapter_1.number = note_1.number) AS anon_3, chapter_1.book_id AS book_id_1, chapter_1.number AS number__1, CAST(NULL AS VARCHAR(200)) AS anon__12
FROM parents JOIN chapter AS chapter_1 ON parents.book_id = chapter_1.book_id
UNION ALL SELECT 2, row_number() OVER (ORDER BY note_2.note_id) AS anon_4, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__13, CAST(NULL AS NUMERIC(9, 3)) AS anon__14, CAST(NULL AS VARCHAR) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, CAST(NULL AS CHAR(32)) AS anon__17, CAST(NULL AS INTEGER) AS anon__18, CAST(NULL AS VARCHAR(200)) AS anon__19, CAST(NULL AS INTEGER) AS anon__20, CAST(NULL AS INTEGER) AS anon__21, chapter_2.book_id AS book_id_2, chapter_2.number, note_2.text
FROM parents JOIN chapter AS chapter_2 ON parents.book_id = chapter_2.book_id JOIN note AS note_2 ON chapter_2.book_id = note_2.book_id AND chapter_2.number = note_2.number
ORDER BY list, place;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = ?
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT ? OFFSET ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS INTEGER) AS anon_1, CAST(NULL AS VARCHAR(200)) AS anon__1, CAST(NULL AS INTEGER) AS anon__2, CAST(NULL AS INTEGER) AS anon__3, CAST(NULL AS CHAR(32)) AS anon__4, CAST(NULL AS INTEGER) AS anon__5, CAST(NULL AS VARCHAR(200)) AS anon__6
FROM parents
UNION ALL SELECT 1, row_number() OVER (ORDER BY chapter_1.number) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__7, CAST(NULL AS NUMERIC(9, 3)) AS anon__8, CAST(NULL AS VARCHAR) AS anon__9, CAST(NULL AS INTEGER) AS anon__10, CAST(NULL AS CHAR(32)) AS anon__11, chapter_1.number, chapter_1.title, chapter_1.pages, (SELECT count(*) AS count_1
FROM note AS note_1
WHERE chapter_1.book_id = note_1.book_id AND chapter_1.number = note_1.number) AS anon_3, chapter_1.book_id AS book_id_1, chapter_1.number AS number__1, CAST(NULL AS VARCHAR(200)) AS anon__12
FROM parents JOIN chapter AS chapter_1 ON parents.book_id = chapter_1.book_id
UNION ALL SELECT 2, row_number() OVER (ORDER BY note_2.note_id) AS anon_4, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__13, CAST(NULL AS NUMERIC(9, 3)) AS anon__14, CAST(NULL AS VARCHAR) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, CAST(NULL AS CHAR(32)) AS anon__17, CAST(NULL AS INTEGER) AS anon__18, CAST(NULL AS VARCHAR(200)) AS anon__19, CAST(NULL AS INTEGER) AS anon__20, CAST(NULL AS INTEGER) AS anon__21, chapter_2.book_id AS book_id_2, chapter_2.number, note_2.text
FROM parents JOIN chapter AS chapter_2 ON parents.book_id = chapter_2.book_id JOIN note AS note_2 ON chapter_2.book_id = note_2.book_id AND chapter_2.number = note_2.number
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, place;

-- BookAuthors: A nested object with a list of values, and one that may be missing.
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.book_id = ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, author_1.name AS c6, author_1.author_id AS c7, author_2.name AS c8, author_2.author_id AS c9, author_2.author_id AS c10, CAST(NULL AS VARCHAR) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1
FROM parents JOIN author AS author_1 ON parents.author_id = author_1.author_id LEFT OUTER JOIN author AS author_2 ON parents.editor_id = author_2.author_id
UNION ALL SELECT 1, row_number() OVER (ORDER BY prize_1.prize_id) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__2, CAST(NULL AS NUMERIC(9, 3)) AS anon__3, CAST(NULL AS VARCHAR) AS anon__4, CAST(NULL AS INTEGER) AS anon__5, CAST(NULL AS CHAR(32)) AS anon__6, CAST(NULL AS VARCHAR(200)) AS anon__7, CAST(NULL AS CHAR(32)) AS anon__8, CAST(NULL AS VARCHAR(200)) AS anon__9, CAST(NULL AS CHAR(32)) AS anon__10, CAST(NULL AS CHAR(32)) AS anon__11, prize_1.name, CAST(NULL AS VARCHAR) AS anon__12
FROM parents JOIN author AS author_3 ON parents.author_id = author_3.author_id JOIN prize AS prize_1 ON author_3.author_id = prize_1.author_id
UNION ALL SELECT 2, row_number() OVER (ORDER BY prize_2.prize_id) AS anon_3, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__13, CAST(NULL AS NUMERIC(9, 3)) AS anon__14, CAST(NULL AS VARCHAR) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, CAST(NULL AS CHAR(32)) AS anon__17, CAST(NULL AS VARCHAR(200)) AS anon__18, CAST(NULL AS CHAR(32)) AS anon__19, CAST(NULL AS VARCHAR(200)) AS anon__20, CAST(NULL AS CHAR(32)) AS anon__21, CAST(NULL AS CHAR(32)) AS anon__22, CAST(NULL AS VARCHAR) AS anon__23, prize_2.name
FROM parents JOIN author AS author_4 ON parents.editor_id = author_4.author_id JOIN prize AS prize_2 ON author_4.author_id = prize_2.author_id
ORDER BY list, place;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = ?
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT ? OFFSET ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, author_1.name AS c6, author_1.author_id AS c7, author_2.name AS c8, author_2.author_id AS c9, author_2.author_id AS c10, CAST(NULL AS VARCHAR) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1
FROM parents JOIN author AS author_1 ON parents.author_id = author_1.author_id LEFT OUTER JOIN author AS author_2 ON parents.editor_id = author_2.author_id
UNION ALL SELECT 1, row_number() OVER (ORDER BY prize_1.prize_id) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__2, CAST(NULL AS NUMERIC(9, 3)) AS anon__3, CAST(NULL AS VARCHAR) AS anon__4, CAST(NULL AS INTEGER) AS anon__5, CAST(NULL AS CHAR(32)) AS anon__6, CAST(NULL AS VARCHAR(200)) AS anon__7, CAST(NULL AS CHAR(32)) AS anon__8, CAST(NULL AS VARCHAR(200)) AS anon__9, CAST(NULL AS CHAR(32)) AS anon__10, CAST(NULL AS CHAR(32)) AS anon__11, prize_1.name, CAST(NULL AS VARCHAR) AS anon__12
FROM parents JOIN author AS author_3 ON parents.author_id = author_3.author_id JOIN prize AS prize_1 ON author_3.author_id = prize_1.author_id
UNION ALL SELECT 2, row_number() OVER (ORDER BY prize_2.prize_id) AS anon_3, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__13, CAST(NULL AS NUMERIC(9, 3)) AS anon__14, CAST(NULL AS VARCHAR) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, CAST(NULL AS CHAR(32)) AS anon__17, CAST(NULL AS VARCHAR(200)) AS anon__18, CAST(NULL AS CHAR(32)) AS anon__19, CAST(NULL AS VARCHAR(200)) AS anon__20, CAST(NULL AS CHAR(32)) AS anon__21, CAST(NULL AS CHAR(32)) AS anon__22, CAST(NULL AS VARCHAR) AS anon__23, prize_2.name
FROM parents JOIN author AS author_4 ON parents.editor_id = author_4.author_id JOIN prize AS prize_2 ON author_4.author_id = prize_2.author_id
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, place;

-- BookDetail: All of it.
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.book_id = ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, (SELECT count(*) AS count_1
FROM chapter AS chapter_1
WHERE parents.book_id = chapter_1.book_id) AS c6, (SELECT count(*) AS count_2
FROM bookgenre AS bookgenre_1
WHERE parents.book_id = bookgenre_1.book_id) AS c7, (SELECT CAST(coalesce(sum(chapter_2.pages), CAST(0 AS INTEGER)) AS BIGINT) AS coalesce_1
FROM chapter AS chapter_2
WHERE parents.book_id = chapter_2.book_id) AS c8, (SELECT CAST(coalesce(sum(edition_1.copies), CAST(0 AS BIGINT)) AS BIGINT) AS coalesce_2
FROM edition AS edition_1
WHERE parents.book_id = edition_1.book_id) AS c9, (SELECT coalesce(sum(edition_2.price), CAST(0 AS NUMERIC(9, 2))) AS coalesce_3
FROM edition AS edition_2
WHERE parents.book_id = edition_2.book_id) AS c10, upper(parents.title) AS c11, author_1.name AS c12, author_1.author_id AS c13, author_2.name AS c14, author_2.author_id AS c15, author_2.author_id AS c16, CAST(NULL AS VARCHAR) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS VARCHAR(200)) AS anon__2, CAST(NULL AS CHAR(32)) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS VARCHAR(200)) AS anon__5, CAST(NULL AS INTEGER) AS anon__6, CAST(NULL AS INTEGER) AS anon__7, CAST(NULL AS CHAR(32)) AS anon__8, CAST(NULL AS INTEGER) AS anon__9, CAST(NULL AS VARCHAR(200)) AS anon__10
FROM parents JOIN author AS author_1 ON parents.author_id = author_1.author_id LEFT OUTER JOIN author AS author_2 ON parents.editor_id = author_2.author_id
UNION ALL SELECT 1, row_number() OVER (ORDER BY prize_1.prize_id) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__11, CAST(NULL AS NUMERIC(9, 3)) AS anon__12, CAST(NULL AS VARCHAR) AS anon__13, CAST(NULL AS INTEGER) AS anon__14, CAST(NULL AS CHAR(32)) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, CAST(NULL AS INTEGER) AS anon__17, CAST(NULL AS BIGINT) AS anon__18, CAST(NULL AS BIGINT) AS anon__19, CAST(NULL AS NUMERIC(9, 2)) AS anon__20, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__22, CAST(NULL AS CHAR(32)) AS anon__23, CAST(NULL AS VARCHAR(200)) AS anon__24, CAST(NULL AS CHAR(32)) AS anon__25, CAST(NULL AS CHAR(32)) AS anon__26, prize_1.name, CAST(NULL AS VARCHAR) AS anon__27, CAST(NULL AS VARCHAR(200)) AS anon__28, CAST(NULL AS CHAR(32)) AS anon__29, CAST(NULL AS INTEGER) AS anon__30, CAST(NULL AS VARCHAR(200)) AS anon__31, CAST(NULL AS INTEGER) AS anon__32, CAST(NULL AS INTEGER) AS anon__33, CAST(NULL AS CHAR(32)) AS anon__34, CAST(NULL AS INTEGER) AS anon__35, CAST(NULL AS VARCHAR(200)) AS anon__36
FROM parents JOIN author AS author_3 ON parents.author_id = author_3.author_id JOIN prize AS prize_1 ON author_3.author_id = prize_1.author_id
UNION ALL SELECT 2, row_number() OVER (ORDER BY prize_2.prize_id) AS anon_3, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__37, CAST(NULL AS NUMERIC(9, 3)) AS anon__38, CAST(NULL AS VARCHAR) AS anon__39, CAST(NULL AS INTEGER) AS anon__40, CAST(NULL AS CHAR(32)) AS anon__41, CAST(NULL AS INTEGER) AS anon__42, CAST(NULL AS INTEGER) AS anon__43, CAST(NULL AS BIGINT) AS anon__44, CAST(NULL AS BIGINT) AS anon__45, CAST(NULL AS NUMERIC(9, 2)) AS anon__46, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__47, CAST(NULL AS CHAR(32)) AS anon__48, CAST(NULL AS VARCHAR(200)) AS anon__49, CAST(NULL AS CHAR(32)) AS anon__50, CAST(NULL AS CHAR(32)) AS anon__51, CAST(NULL AS VARCHAR) AS anon__52, prize_2.name, CAST(NULL AS VARCHAR(200)) AS anon__53, CAST(NULL AS CHAR(32)) AS anon__54, CAST(NULL AS INTEGER) AS anon__55, CAST(NULL AS VARCHAR(200)) AS anon__56, CAST(NULL AS INTEGER) AS anon__57, CAST(NULL AS INTEGER) AS anon__58, CAST(NULL AS CHAR(32)) AS anon__59, CAST(NULL AS INTEGER) AS anon__60, CAST(NULL AS VARCHAR(200)) AS anon__61
FROM parents JOIN author AS author_4 ON parents.editor_id = author_4.author_id JOIN prize AS prize_2 ON author_4.author_id = prize_2.author_id
UNION ALL SELECT 3, row_number() OVER (ORDER BY genre_1.name) AS anon_4, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__62, CAST(NULL AS NUMERIC(9, 3)) AS anon__63, CAST(NULL AS VARCHAR) AS anon__64, CAST(NULL AS INTEGER) AS anon__65, CAST(NULL AS CHAR(32)) AS anon__66, CAST(NULL AS INTEGER) AS anon__67, CAST(NULL AS INTEGER) AS anon__68, CAST(NULL AS BIGINT) AS anon__69, CAST(NULL AS BIGINT) AS anon__70, CAST(NULL AS NUMERIC(9, 2)) AS anon__71, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__72, CAST(NULL AS CHAR(32)) AS anon__73, CAST(NULL AS VARCHAR(200)) AS anon__74, CAST(NULL AS CHAR(32)) AS anon__75, CAST(NULL AS CHAR(32)) AS anon__76, CAST(NULL AS VARCHAR) AS anon__77, CAST(NULL AS VARCHAR) AS anon__78, genre_1.name, genre_1.genre_id, CAST(NULL AS INTEGER) AS anon__79, CAST(NULL AS VARCHAR(200)) AS anon__80, CAST(NULL AS INTEGER) AS anon__81, CAST(NULL AS INTEGER) AS anon__82, CAST(NULL AS CHAR(32)) AS anon__83, CAST(NULL AS INTEGER) AS anon__84, CAST(NULL AS VARCHAR(200)) AS anon__85
FROM parents JOIN bookgenre AS bookgenre_2 ON parents.book_id = bookgenre_2.book_id JOIN genre AS genre_1 ON bookgenre_2.genre_id = genre_1.genre_id
UNION ALL SELECT 4, row_number() OVER (ORDER BY chapter_3.number) AS anon_5, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__86, CAST(NULL AS NUMERIC(9, 3)) AS anon__87, CAST(NULL AS VARCHAR) AS anon__88, CAST(NULL AS INTEGER) AS anon__89, CAST(NULL AS CHAR(32)) AS anon__90, CAST(NULL AS INTEGER) AS anon__91, CAST(NULL AS INTEGER) AS anon__92, CAST(NULL AS BIGINT) AS anon__93, CAST(NULL AS BIGINT) AS anon__94, CAST(NULL AS NUMERIC(9, 2)) AS anon__95, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__96, CAST(NULL AS CHAR(32)) AS anon__97, CAST(NULL AS VARCHAR(200)) AS anon__98, CAST(NULL AS CHAR(32)) AS anon__99, CAST(NULL AS CHAR(32)) AS anon__100, CAST(NULL AS VARCHAR) AS anon__101, CAST(NULL AS VARCHAR) AS anon__102, CAST(NULL AS VARCHAR(200)) AS anon__103, CAST(NULL AS CHAR(32)) AS anon__104, chapter_3.number, chapter_3.title, chapter_3.pages, (SELECT count(*) AS count_3
FROM note AS note_1
WHERE chapter_3.book_id = note_1.book_id AND chapter_3.number = note_1.number) AS anon_6, chapter_3.book_id AS book_id_1, chapter_3.number AS number__1, CAST(NULL AS VARCHAR(200)) AS anon__105
FROM parents JOIN chapter AS chapter_3 ON parents.book_id = chapter_3.book_id
UNION ALL SELECT 5, row_number() OVER (ORDER BY note_2.note_id) AS anon_7, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__106, CAST(NULL AS NUMERIC(9, 3)) AS anon__107, CAST(NULL AS VARCHAR) AS anon__108, CAST(NULL AS INTEGER) AS anon__109, CAST(NULL AS CHAR(32)) AS anon__110, CAST(NULL AS INTEGER) AS anon__111, CAST(NULL AS INTEGER) AS anon__112, CAST(NULL AS BIGINT) AS anon__113, CAST(NULL AS BIGINT) AS anon__114, CAST(NULL AS NUMERIC(9, 2)) AS anon__115, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__116, CAST(NULL AS CHAR(32)) AS anon__117, CAST(NULL AS VARCHAR(200)) AS anon__118, CAST(NULL AS CHAR(32)) AS anon__119, CAST(NULL AS CHAR(32)) AS anon__120, CAST(NULL AS VARCHAR) AS anon__121, CAST(NULL AS VARCHAR) AS anon__122, CAST(NULL AS VARCHAR(200)) AS anon__123, CAST(NULL AS CHAR(32)) AS anon__124, CAST(NULL AS INTEGER) AS anon__125, CAST(NULL AS VARCHAR(200)) AS anon__126, CAST(NULL AS INTEGER) AS anon__127, CAST(NULL AS INTEGER) AS anon__128, chapter_4.book_id AS book_id_2, chapter_4.number, note_2.text
FROM parents JOIN chapter AS chapter_4 ON parents.book_id = chapter_4.book_id JOIN note AS note_2 ON chapter_4.book_id = note_2.book_id AND chapter_4.number = note_2.number
ORDER BY list, place;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = ?
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT ? OFFSET ?) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, (SELECT count(*) AS count_1
FROM chapter AS chapter_1
WHERE parents.book_id = chapter_1.book_id) AS c6, (SELECT count(*) AS count_2
FROM bookgenre AS bookgenre_1
WHERE parents.book_id = bookgenre_1.book_id) AS c7, (SELECT CAST(coalesce(sum(chapter_2.pages), CAST(0 AS INTEGER)) AS BIGINT) AS coalesce_1
FROM chapter AS chapter_2
WHERE parents.book_id = chapter_2.book_id) AS c8, (SELECT CAST(coalesce(sum(edition_1.copies), CAST(0 AS BIGINT)) AS BIGINT) AS coalesce_2
FROM edition AS edition_1
WHERE parents.book_id = edition_1.book_id) AS c9, (SELECT coalesce(sum(edition_2.price), CAST(0 AS NUMERIC(9, 2))) AS coalesce_3
FROM edition AS edition_2
WHERE parents.book_id = edition_2.book_id) AS c10, upper(parents.title) AS c11, author_1.name AS c12, author_1.author_id AS c13, author_2.name AS c14, author_2.author_id AS c15, author_2.author_id AS c16, CAST(NULL AS VARCHAR) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS VARCHAR(200)) AS anon__2, CAST(NULL AS CHAR(32)) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS VARCHAR(200)) AS anon__5, CAST(NULL AS INTEGER) AS anon__6, CAST(NULL AS INTEGER) AS anon__7, CAST(NULL AS CHAR(32)) AS anon__8, CAST(NULL AS INTEGER) AS anon__9, CAST(NULL AS VARCHAR(200)) AS anon__10
FROM parents JOIN author AS author_1 ON parents.author_id = author_1.author_id LEFT OUTER JOIN author AS author_2 ON parents.editor_id = author_2.author_id
UNION ALL SELECT 1, row_number() OVER (ORDER BY prize_1.prize_id) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__11, CAST(NULL AS NUMERIC(9, 3)) AS anon__12, CAST(NULL AS VARCHAR) AS anon__13, CAST(NULL AS INTEGER) AS anon__14, CAST(NULL AS CHAR(32)) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, CAST(NULL AS INTEGER) AS anon__17, CAST(NULL AS BIGINT) AS anon__18, CAST(NULL AS BIGINT) AS anon__19, CAST(NULL AS NUMERIC(9, 2)) AS anon__20, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__22, CAST(NULL AS CHAR(32)) AS anon__23, CAST(NULL AS VARCHAR(200)) AS anon__24, CAST(NULL AS CHAR(32)) AS anon__25, CAST(NULL AS CHAR(32)) AS anon__26, prize_1.name, CAST(NULL AS VARCHAR) AS anon__27, CAST(NULL AS VARCHAR(200)) AS anon__28, CAST(NULL AS CHAR(32)) AS anon__29, CAST(NULL AS INTEGER) AS anon__30, CAST(NULL AS VARCHAR(200)) AS anon__31, CAST(NULL AS INTEGER) AS anon__32, CAST(NULL AS INTEGER) AS anon__33, CAST(NULL AS CHAR(32)) AS anon__34, CAST(NULL AS INTEGER) AS anon__35, CAST(NULL AS VARCHAR(200)) AS anon__36
FROM parents JOIN author AS author_3 ON parents.author_id = author_3.author_id JOIN prize AS prize_1 ON author_3.author_id = prize_1.author_id
UNION ALL SELECT 2, row_number() OVER (ORDER BY prize_2.prize_id) AS anon_3, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__37, CAST(NULL AS NUMERIC(9, 3)) AS anon__38, CAST(NULL AS VARCHAR) AS anon__39, CAST(NULL AS INTEGER) AS anon__40, CAST(NULL AS CHAR(32)) AS anon__41, CAST(NULL AS INTEGER) AS anon__42, CAST(NULL AS INTEGER) AS anon__43, CAST(NULL AS BIGINT) AS anon__44, CAST(NULL AS BIGINT) AS anon__45, CAST(NULL AS NUMERIC(9, 2)) AS anon__46, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__47, CAST(NULL AS CHAR(32)) AS anon__48, CAST(NULL AS VARCHAR(200)) AS anon__49, CAST(NULL AS CHAR(32)) AS anon__50, CAST(NULL AS CHAR(32)) AS anon__51, CAST(NULL AS VARCHAR) AS anon__52, prize_2.name, CAST(NULL AS VARCHAR(200)) AS anon__53, CAST(NULL AS CHAR(32)) AS anon__54, CAST(NULL AS INTEGER) AS anon__55, CAST(NULL AS VARCHAR(200)) AS anon__56, CAST(NULL AS INTEGER) AS anon__57, CAST(NULL AS INTEGER) AS anon__58, CAST(NULL AS CHAR(32)) AS anon__59, CAST(NULL AS INTEGER) AS anon__60, CAST(NULL AS VARCHAR(200)) AS anon__61
FROM parents JOIN author AS author_4 ON parents.editor_id = author_4.author_id JOIN prize AS prize_2 ON author_4.author_id = prize_2.author_id
UNION ALL SELECT 3, row_number() OVER (ORDER BY genre_1.name) AS anon_4, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__62, CAST(NULL AS NUMERIC(9, 3)) AS anon__63, CAST(NULL AS VARCHAR) AS anon__64, CAST(NULL AS INTEGER) AS anon__65, CAST(NULL AS CHAR(32)) AS anon__66, CAST(NULL AS INTEGER) AS anon__67, CAST(NULL AS INTEGER) AS anon__68, CAST(NULL AS BIGINT) AS anon__69, CAST(NULL AS BIGINT) AS anon__70, CAST(NULL AS NUMERIC(9, 2)) AS anon__71, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__72, CAST(NULL AS CHAR(32)) AS anon__73, CAST(NULL AS VARCHAR(200)) AS anon__74, CAST(NULL AS CHAR(32)) AS anon__75, CAST(NULL AS CHAR(32)) AS anon__76, CAST(NULL AS VARCHAR) AS anon__77, CAST(NULL AS VARCHAR) AS anon__78, genre_1.name, genre_1.genre_id, CAST(NULL AS INTEGER) AS anon__79, CAST(NULL AS VARCHAR(200)) AS anon__80, CAST(NULL AS INTEGER) AS anon__81, CAST(NULL AS INTEGER) AS anon__82, CAST(NULL AS CHAR(32)) AS anon__83, CAST(NULL AS INTEGER) AS anon__84, CAST(NULL AS VARCHAR(200)) AS anon__85
FROM parents JOIN bookgenre AS bookgenre_2 ON parents.book_id = bookgenre_2.book_id JOIN genre AS genre_1 ON bookgenre_2.genre_id = genre_1.genre_id
UNION ALL SELECT 4, row_number() OVER (ORDER BY chapter_3.number) AS anon_5, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__86, CAST(NULL AS NUMERIC(9, 3)) AS anon__87, CAST(NULL AS VARCHAR) AS anon__88, CAST(NULL AS INTEGER) AS anon__89, CAST(NULL AS CHAR(32)) AS anon__90, CAST(NULL AS INTEGER) AS anon__91, CAST(NULL AS INTEGER) AS anon__92, CAST(NULL AS BIGINT) AS anon__93, CAST(NULL AS BIGINT) AS anon__94, CAST(NULL AS NUMERIC(9, 2)) AS anon__95, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__96, CAST(NULL AS CHAR(32)) AS anon__97, CAST(NULL AS VARCHAR(200)) AS anon__98, CAST(NULL AS CHAR(32)) AS anon__99, CAST(NULL AS CHAR(32)) AS anon__100, CAST(NULL AS VARCHAR) AS anon__101, CAST(NULL AS VARCHAR) AS anon__102, CAST(NULL AS VARCHAR(200)) AS anon__103, CAST(NULL AS CHAR(32)) AS anon__104, chapter_3.number, chapter_3.title, chapter_3.pages, (SELECT count(*) AS count_3
FROM note AS note_1
WHERE chapter_3.book_id = note_1.book_id AND chapter_3.number = note_1.number) AS anon_6, chapter_3.book_id AS book_id_1, chapter_3.number AS number__1, CAST(NULL AS VARCHAR(200)) AS anon__105
FROM parents JOIN chapter AS chapter_3 ON parents.book_id = chapter_3.book_id
UNION ALL SELECT 5, row_number() OVER (ORDER BY note_2.note_id) AS anon_7, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__106, CAST(NULL AS NUMERIC(9, 3)) AS anon__107, CAST(NULL AS VARCHAR) AS anon__108, CAST(NULL AS INTEGER) AS anon__109, CAST(NULL AS CHAR(32)) AS anon__110, CAST(NULL AS INTEGER) AS anon__111, CAST(NULL AS INTEGER) AS anon__112, CAST(NULL AS BIGINT) AS anon__113, CAST(NULL AS BIGINT) AS anon__114, CAST(NULL AS NUMERIC(9, 2)) AS anon__115, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__116, CAST(NULL AS CHAR(32)) AS anon__117, CAST(NULL AS VARCHAR(200)) AS anon__118, CAST(NULL AS CHAR(32)) AS anon__119, CAST(NULL AS CHAR(32)) AS anon__120, CAST(NULL AS VARCHAR) AS anon__121, CAST(NULL AS VARCHAR) AS anon__122, CAST(NULL AS VARCHAR(200)) AS anon__123, CAST(NULL AS CHAR(32)) AS anon__124, CAST(NULL AS INTEGER) AS anon__125, CAST(NULL AS VARCHAR(200)) AS anon__126, CAST(NULL AS INTEGER) AS anon__127, CAST(NULL AS INTEGER) AS anon__128, chapter_4.book_id AS book_id_2, chapter_4.number, note_2.text
FROM parents JOIN chapter AS chapter_4 ON parents.book_id = chapter_4.book_id JOIN note AS note_2 ON chapter_4.book_id = note_2.book_id AND chapter_4.number = note_2.number
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, place;

-- BookDetail, inserted
INSERT INTO book (version, title, shelf, weight, book_id, author_id, editor_id)
VALUES (?, ?, ?, ?, ?, ?, ?);
INSERT INTO bookgenre (book_id, genre_id)
VALUES (?, ?);
INSERT INTO chapter (title, pages, book_id, number)
VALUES (?, ?, ?, ?);
INSERT INTO note (text, book_id, number)
VALUES (?, ?, ?);
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.book_id IN (?)) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, (SELECT count(*) AS count_1
FROM chapter AS chapter_1
WHERE parents.book_id = chapter_1.book_id) AS c6, (SELECT count(*) AS count_2
FROM bookgenre AS bookgenre_1
WHERE parents.book_id = bookgenre_1.book_id) AS c7, (SELECT CAST(coalesce(sum(chapter_2.pages), CAST(0 AS INTEGER)) AS BIGINT) AS coalesce_1
FROM chapter AS chapter_2
WHERE parents.book_id = chapter_2.book_id) AS c8, (SELECT CAST(coalesce(sum(edition_1.copies), CAST(0 AS BIGINT)) AS BIGINT) AS coalesce_2
FROM edition AS edition_1
WHERE parents.book_id = edition_1.book_id) AS c9, (SELECT coalesce(sum(edition_2.price), CAST(0 AS NUMERIC(9, 2))) AS coalesce_3
FROM edition AS edition_2
WHERE parents.book_id = edition_2.book_id) AS c10, upper(parents.title) AS c11, author_1.name AS c12, author_1.author_id AS c13, author_2.name AS c14, author_2.author_id AS c15, author_2.author_id AS c16, CAST(NULL AS VARCHAR) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS VARCHAR(200)) AS anon__2, CAST(NULL AS CHAR(32)) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS VARCHAR(200)) AS anon__5, CAST(NULL AS INTEGER) AS anon__6, CAST(NULL AS INTEGER) AS anon__7, CAST(NULL AS CHAR(32)) AS anon__8, CAST(NULL AS INTEGER) AS anon__9, CAST(NULL AS VARCHAR(200)) AS anon__10
FROM parents JOIN author AS author_1 ON parents.author_id = author_1.author_id LEFT OUTER JOIN author AS author_2 ON parents.editor_id = author_2.author_id
UNION ALL SELECT 1, row_number() OVER (ORDER BY prize_1.prize_id) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__11, CAST(NULL AS NUMERIC(9, 3)) AS anon__12, CAST(NULL AS VARCHAR) AS anon__13, CAST(NULL AS INTEGER) AS anon__14, CAST(NULL AS CHAR(32)) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, CAST(NULL AS INTEGER) AS anon__17, CAST(NULL AS BIGINT) AS anon__18, CAST(NULL AS BIGINT) AS anon__19, CAST(NULL AS NUMERIC(9, 2)) AS anon__20, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__22, CAST(NULL AS CHAR(32)) AS anon__23, CAST(NULL AS VARCHAR(200)) AS anon__24, CAST(NULL AS CHAR(32)) AS anon__25, CAST(NULL AS CHAR(32)) AS anon__26, prize_1.name, CAST(NULL AS VARCHAR) AS anon__27, CAST(NULL AS VARCHAR(200)) AS anon__28, CAST(NULL AS CHAR(32)) AS anon__29, CAST(NULL AS INTEGER) AS anon__30, CAST(NULL AS VARCHAR(200)) AS anon__31, CAST(NULL AS INTEGER) AS anon__32, CAST(NULL AS INTEGER) AS anon__33, CAST(NULL AS CHAR(32)) AS anon__34, CAST(NULL AS INTEGER) AS anon__35, CAST(NULL AS VARCHAR(200)) AS anon__36
FROM parents JOIN author AS author_3 ON parents.author_id = author_3.author_id JOIN prize AS prize_1 ON author_3.author_id = prize_1.author_id
UNION ALL SELECT 2, row_number() OVER (ORDER BY prize_2.prize_id) AS anon_3, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__37, CAST(NULL AS NUMERIC(9, 3)) AS anon__38, CAST(NULL AS VARCHAR) AS anon__39, CAST(NULL AS INTEGER) AS anon__40, CAST(NULL AS CHAR(32)) AS anon__41, CAST(NULL AS INTEGER) AS anon__42, CAST(NULL AS INTEGER) AS anon__43, CAST(NULL AS BIGINT) AS anon__44, CAST(NULL AS BIGINT) AS anon__45, CAST(NULL AS NUMERIC(9, 2)) AS anon__46, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__47, CAST(NULL AS CHAR(32)) AS anon__48, CAST(NULL AS VARCHAR(200)) AS anon__49, CAST(NULL AS CHAR(32)) AS anon__50, CAST(NULL AS CHAR(32)) AS anon__51, CAST(NULL AS VARCHAR) AS anon__52, prize_2.name, CAST(NULL AS VARCHAR(200)) AS anon__53, CAST(NULL AS CHAR(32)) AS anon__54, CAST(NULL AS INTEGER) AS anon__55, CAST(NULL AS VARCHAR(200)) AS anon__56, CAST(NULL AS INTEGER) AS anon__57, CAST(NULL AS INTEGER) AS anon__58, CAST(NULL AS CHAR(32)) AS anon__59, CAST(NULL AS INTEGER) AS anon__60, CAST(NULL AS VARCHAR(200)) AS anon__61
FROM parents JOIN author AS author_4 ON parents.editor_id = author_4.author_id JOIN prize AS prize_2 ON author_4.author_id = prize_2.author_id
UNION ALL SELECT 3, row_number() OVER (ORDER BY genre_1.name) AS anon_4, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__62, CAST(NULL AS NUMERIC(9, 3)) AS anon__63, CAST(NULL AS VARCHAR) AS anon__64, CAST(NULL AS INTEGER) AS anon__65, CAST(NULL AS CHAR(32)) AS anon__66, CAST(NULL AS INTEGER) AS anon__67, CAST(NULL AS INTEGER) AS anon__68, CAST(NULL AS BIGINT) AS anon__69, CAST(NULL AS BIGINT) AS anon__70, CAST(NULL AS NUMERIC(9, 2)) AS anon__71, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__72, CAST(NULL AS CHAR(32)) AS anon__73, CAST(NULL AS VARCHAR(200)) AS anon__74, CAST(NULL AS CHAR(32)) AS anon__75, CAST(NULL AS CHAR(32)) AS anon__76, CAST(NULL AS VARCHAR) AS anon__77, CAST(NULL AS VARCHAR) AS anon__78, genre_1.name, genre_1.genre_id, CAST(NULL AS INTEGER) AS anon__79, CAST(NULL AS VARCHAR(200)) AS anon__80, CAST(NULL AS INTEGER) AS anon__81, CAST(NULL AS INTEGER) AS anon__82, CAST(NULL AS CHAR(32)) AS anon__83, CAST(NULL AS INTEGER) AS anon__84, CAST(NULL AS VARCHAR(200)) AS anon__85
FROM parents JOIN bookgenre AS bookgenre_2 ON parents.book_id = bookgenre_2.book_id JOIN genre AS genre_1 ON bookgenre_2.genre_id = genre_1.genre_id
UNION ALL SELECT 4, row_number() OVER (ORDER BY chapter_3.number) AS anon_5, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__86, CAST(NULL AS NUMERIC(9, 3)) AS anon__87, CAST(NULL AS VARCHAR) AS anon__88, CAST(NULL AS INTEGER) AS anon__89, CAST(NULL AS CHAR(32)) AS anon__90, CAST(NULL AS INTEGER) AS anon__91, CAST(NULL AS INTEGER) AS anon__92, CAST(NULL AS BIGINT) AS anon__93, CAST(NULL AS BIGINT) AS anon__94, CAST(NULL AS NUMERIC(9, 2)) AS anon__95, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__96, CAST(NULL AS CHAR(32)) AS anon__97, CAST(NULL AS VARCHAR(200)) AS anon__98, CAST(NULL AS CHAR(32)) AS anon__99, CAST(NULL AS CHAR(32)) AS anon__100, CAST(NULL AS VARCHAR) AS anon__101, CAST(NULL AS VARCHAR) AS anon__102, CAST(NULL AS VARCHAR(200)) AS anon__103, CAST(NULL AS CHAR(32)) AS anon__104, chapter_3.number, chapter_3.title, chapter_3.pages, (SELECT count(*) AS count_3
FROM note AS note_1
WHERE chapter_3.book_id = note_1.book_id AND chapter_3.number = note_1.number) AS anon_6, chapter_3.book_id AS book_id_1, chapter_3.number AS number__1, CAST(NULL AS VARCHAR(200)) AS anon__105
FROM parents JOIN chapter AS chapter_3 ON parents.book_id = chapter_3.book_id
UNION ALL SELECT 5, row_number() OVER (ORDER BY note_2.note_id) AS anon_7, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__106, CAST(NULL AS NUMERIC(9, 3)) AS anon__107, CAST(NULL AS VARCHAR) AS anon__108, CAST(NULL AS INTEGER) AS anon__109, CAST(NULL AS CHAR(32)) AS anon__110, CAST(NULL AS INTEGER) AS anon__111, CAST(NULL AS INTEGER) AS anon__112, CAST(NULL AS BIGINT) AS anon__113, CAST(NULL AS BIGINT) AS anon__114, CAST(NULL AS NUMERIC(9, 2)) AS anon__115, NULL AS anon__21, CAST(NULL AS VARCHAR(200)) AS anon__116, CAST(NULL AS CHAR(32)) AS anon__117, CAST(NULL AS VARCHAR(200)) AS anon__118, CAST(NULL AS CHAR(32)) AS anon__119, CAST(NULL AS CHAR(32)) AS anon__120, CAST(NULL AS VARCHAR) AS anon__121, CAST(NULL AS VARCHAR) AS anon__122, CAST(NULL AS VARCHAR(200)) AS anon__123, CAST(NULL AS CHAR(32)) AS anon__124, CAST(NULL AS INTEGER) AS anon__125, CAST(NULL AS VARCHAR(200)) AS anon__126, CAST(NULL AS INTEGER) AS anon__127, CAST(NULL AS INTEGER) AS anon__128, chapter_4.book_id AS book_id_2, chapter_4.number, note_2.text
FROM parents JOIN chapter AS chapter_4 ON parents.book_id = chapter_4.book_id JOIN note AS note_2 ON chapter_4.book_id = note_2.book_id AND chapter_4.number = note_2.number
ORDER BY list, place;

-- BookGenres, inserted
INSERT INTO book (version, title, shelf, weight, book_id, author_id, editor_id)
VALUES (?, ?, ?, ?, ?, ?, ?);
INSERT INTO bookgenre (book_id, genre_id)
VALUES (?, (SELECT genre.genre_id
FROM genre
WHERE genre.name = ?
ORDER BY genre.genre_id
LIMIT 1 OFFSET ?));
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.book_id IN (?)) SELECT 0 AS list, 0 AS place, parents.book_id AS "key", parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, parents.author_id AS c6, CAST(NULL AS VARCHAR(200)) AS anon_1
FROM parents
UNION ALL SELECT 1, row_number() OVER (ORDER BY genre_1.name) AS anon_2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS CHAR(32)) AS anon__5, CAST(NULL AS CHAR(32)) AS anon__6, genre_1.name
FROM parents JOIN bookgenre AS bookgenre_1 ON parents.book_id = bookgenre_1.book_id JOIN genre AS genre_1 ON bookgenre_1.genre_id = genre_1.genre_id
ORDER BY list, place;
