-- BookOut: Columns, of which the database makes some.
SELECT book.title AS c0, book.shelf AS c1, book.weight AS c2, book.status AS c3, book.title_length AS c4, book.book_id AS c5
FROM book
WHERE book.book_id = $1::UUID;
SELECT book.title AS c0, book.shelf AS c1, book.weight AS c2, book.status AS c3, book.title_length AS c4, book.book_id AS c5
FROM book
WHERE book.shelf = $1::VARCHAR
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT $2::INTEGER;

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
WHERE book.book_id = $1::UUID;
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
WHERE book.shelf = $1::VARCHAR
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT $2::INTEGER;

-- BookGenres: A list of values through a link table.
SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, parents.author_id AS c6, CAST(NULL AS VARCHAR(200)) AS c7, CAST(NULL AS VARCHAR(200)) AS c8
FROM book AS parents
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, CAST(NULL AS UUID) AS anon__6, genre_1.name, genre_1.name AS name__1
FROM book AS parents JOIN bookgenre AS bookgenre_1 ON parents.book_id = bookgenre_1.book_id AND bookgenre_1.book_id = $1::UUID JOIN genre AS genre_1 ON bookgenre_1.genre_id = genre_1.genre_id
WHERE parents.book_id = $1::UUID
ORDER BY list, c8;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = $1::VARCHAR
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT $2::INTEGER) SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, parents.author_id AS c6, CAST(NULL AS VARCHAR(200)) AS c7, CAST(NULL AS VARCHAR(200)) AS c8
FROM parents
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, CAST(NULL AS UUID) AS anon__6, genre_1.name, genre_1.name AS name__1
FROM parents JOIN bookgenre AS bookgenre_1 ON parents.book_id = bookgenre_1.book_id JOIN genre AS genre_1 ON bookgenre_1.genre_id = genre_1.genre_id
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, c8;

-- BookLinks: A list of objects through a link table.
SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS VARCHAR(200)) AS c6, CAST(NULL AS UUID) AS c7, CAST(NULL AS VARCHAR(200)) AS c8
FROM book AS parents
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, genre_1.name, genre_1.genre_id, genre_1.name AS name__1
FROM book AS parents JOIN bookgenre AS bookgenre_1 ON parents.book_id = bookgenre_1.book_id AND bookgenre_1.book_id = $1::UUID JOIN genre AS genre_1 ON bookgenre_1.genre_id = genre_1.genre_id
WHERE parents.book_id = $1::UUID
ORDER BY list, c8;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = $1::VARCHAR
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT $2::INTEGER) SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS VARCHAR(200)) AS c6, CAST(NULL AS UUID) AS c7, CAST(NULL AS VARCHAR(200)) AS c8
FROM parents
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, genre_1.name, genre_1.genre_id, genre_1.name AS name__1
FROM parents JOIN bookgenre AS bookgenre_1 ON parents.book_id = bookgenre_1.book_id JOIN genre AS genre_1 ON bookgenre_1.genre_id = genre_1.genre_id
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, c8;

-- BookChapters: A list of objects.
SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS INTEGER) AS c6, CAST(NULL AS VARCHAR(200)) AS c7, CAST(NULL AS INTEGER) AS c8, CAST(NULL AS INTEGER) AS c9
FROM book AS parents
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, chapter_1.number, chapter_1.title, chapter_1.pages, chapter_1.number AS number__1
FROM book AS parents JOIN chapter AS chapter_1 ON parents.book_id = chapter_1.book_id AND chapter_1.book_id = $1::UUID
WHERE parents.book_id = $1::UUID
ORDER BY list, c9;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = $1::VARCHAR
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT $2::INTEGER) SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS INTEGER) AS c6, CAST(NULL AS VARCHAR(200)) AS c7, CAST(NULL AS INTEGER) AS c8, CAST(NULL AS INTEGER) AS c9
FROM parents
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, chapter_1.number, chapter_1.title, chapter_1.pages, chapter_1.number AS number__1
FROM parents JOIN chapter AS chapter_1 ON parents.book_id = chapter_1.book_id
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, c9;

-- BookNotes: A list of objects, each with a list and a count.
SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS INTEGER) AS c6, CAST(NULL AS VARCHAR(200)) AS c7, CAST(NULL AS INTEGER) AS c8, CAST(NULL AS INTEGER) AS c9, CAST(NULL AS UUID) AS c10, CAST(NULL AS INTEGER) AS c11, CAST(NULL AS INTEGER) AS c12, CAST(NULL AS VARCHAR(200)) AS c13, CAST(NULL AS INTEGER) AS c14
FROM book AS parents
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, chapter_1.number, chapter_1.title, chapter_1.pages, (SELECT count(*) AS count_1
FROM note AS note_1
WHERE chapter_1.book_id = note_1.book_id AND chapter_1.number = note_1.number) AS anon_2, chapter_1.book_id AS book_id_1, chapter_1.number AS number__1, chapter_1.number AS number__2, CAST(NULL AS VARCHAR(200)) AS anon__6, CAST(NULL AS INTEGER) AS anon__7
FROM book AS parents JOIN chapter AS chapter_1 ON parents.book_id = chapter_1.book_id AND chapter_1.book_id = $1::UUID
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__8, CAST(NULL AS NUMERIC(9, 3)) AS anon__9, CAST(NULL AS VARCHAR) AS anon__10, CAST(NULL AS INTEGER) AS anon__11, CAST(NULL AS UUID) AS anon__12, CAST(NULL AS INTEGER) AS anon__13, CAST(NULL AS VARCHAR(200)) AS anon__14, CAST(NULL AS INTEGER) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, chapter_2.book_id AS book_id_2, chapter_2.number, CAST(NULL AS INTEGER) AS anon__17, note_2.text, note_2.note_id
FROM book AS parents JOIN chapter AS chapter_2 ON parents.book_id = chapter_2.book_id AND chapter_2.book_id = $1::UUID JOIN note AS note_2 ON chapter_2.book_id = note_2.book_id AND chapter_2.number = note_2.number
WHERE parents.book_id = $1::UUID
ORDER BY list, c12, c14;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = $1::VARCHAR
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT $2::INTEGER) SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, CAST(NULL AS INTEGER) AS c6, CAST(NULL AS VARCHAR(200)) AS c7, CAST(NULL AS INTEGER) AS c8, CAST(NULL AS INTEGER) AS c9, CAST(NULL AS UUID) AS c10, CAST(NULL AS INTEGER) AS c11, CAST(NULL AS INTEGER) AS c12, CAST(NULL AS VARCHAR(200)) AS c13, CAST(NULL AS INTEGER) AS c14
FROM parents
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, chapter_1.number, chapter_1.title, chapter_1.pages, (SELECT count(*) AS count_1
FROM note AS note_1
WHERE chapter_1.book_id = note_1.book_id AND chapter_1.number = note_1.number) AS anon_2, chapter_1.book_id AS book_id_1, chapter_1.number AS number__1, chapter_1.number AS number__2, CAST(NULL AS VARCHAR(200)) AS anon__6, CAST(NULL AS INTEGER) AS anon__7
FROM parents JOIN chapter AS chapter_1 ON parents.book_id = chapter_1.book_id
UNION ALL SELECT 2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__8, CAST(NULL AS NUMERIC(9, 3)) AS anon__9, CAST(NULL AS VARCHAR) AS anon__10, CAST(NULL AS INTEGER) AS anon__11, CAST(NULL AS UUID) AS anon__12, CAST(NULL AS INTEGER) AS anon__13, CAST(NULL AS VARCHAR(200)) AS anon__14, CAST(NULL AS INTEGER) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, chapter_2.book_id AS book_id_2, chapter_2.number, CAST(NULL AS INTEGER) AS anon__17, note_2.text, note_2.note_id
FROM parents JOIN chapter AS chapter_2 ON parents.book_id = chapter_2.book_id JOIN note AS note_2 ON chapter_2.book_id = note_2.book_id AND chapter_2.number = note_2.number
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, c12, c14;

-- BookAuthors: A nested object with a list of values, and one that may be missing.
SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, author_1.name AS c6, author_1.author_id AS c7, author_2.name AS c8, author_2.author_id AS c9, author_2.author_id AS c10, CAST(NULL AS VARCHAR) AS c11, CAST(NULL AS BIGINT) AS c12, CAST(NULL AS VARCHAR) AS c13, CAST(NULL AS BIGINT) AS c14
FROM book AS parents JOIN author AS author_1 ON parents.author_id = author_1.author_id LEFT OUTER JOIN author AS author_2 ON parents.editor_id = author_2.author_id
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, CAST(NULL AS VARCHAR(200)) AS anon__6, CAST(NULL AS UUID) AS anon__7, CAST(NULL AS VARCHAR(200)) AS anon__8, CAST(NULL AS UUID) AS anon__9, CAST(NULL AS UUID) AS anon__10, prize_1.name, row_number() OVER (ORDER BY length(prize_1.name) DESC, prize_1.prize_id DESC NULLS LAST) AS anon_2, CAST(NULL AS VARCHAR) AS anon__11, CAST(NULL AS BIGINT) AS anon__12
FROM book AS parents JOIN author AS author_3 ON parents.author_id = author_3.author_id JOIN prize AS prize_1 ON author_3.author_id = prize_1.author_id
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__13, CAST(NULL AS NUMERIC(9, 3)) AS anon__14, CAST(NULL AS VARCHAR) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, CAST(NULL AS UUID) AS anon__17, CAST(NULL AS VARCHAR(200)) AS anon__18, CAST(NULL AS UUID) AS anon__19, CAST(NULL AS VARCHAR(200)) AS anon__20, CAST(NULL AS UUID) AS anon__21, CAST(NULL AS UUID) AS anon__22, CAST(NULL AS VARCHAR) AS anon__23, CAST(NULL AS BIGINT) AS anon__24, prize_2.name, row_number() OVER (ORDER BY length(prize_2.name) DESC, prize_2.prize_id DESC NULLS LAST) AS anon_3
FROM book AS parents JOIN author AS author_4 ON parents.editor_id = author_4.author_id JOIN prize AS prize_2 ON author_4.author_id = prize_2.author_id
WHERE parents.book_id = $1::UUID
ORDER BY list, c12, c14;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = $1::VARCHAR
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT $2::INTEGER) SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, author_1.name AS c6, author_1.author_id AS c7, author_2.name AS c8, author_2.author_id AS c9, author_2.author_id AS c10, CAST(NULL AS VARCHAR) AS c11, CAST(NULL AS BIGINT) AS c12, CAST(NULL AS VARCHAR) AS c13, CAST(NULL AS BIGINT) AS c14
FROM parents JOIN author AS author_1 ON parents.author_id = author_1.author_id LEFT OUTER JOIN author AS author_2 ON parents.editor_id = author_2.author_id
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, CAST(NULL AS VARCHAR(200)) AS anon__6, CAST(NULL AS UUID) AS anon__7, CAST(NULL AS VARCHAR(200)) AS anon__8, CAST(NULL AS UUID) AS anon__9, CAST(NULL AS UUID) AS anon__10, prize_1.name, row_number() OVER (ORDER BY length(prize_1.name) DESC, prize_1.prize_id DESC NULLS LAST) AS anon_2, CAST(NULL AS VARCHAR) AS anon__11, CAST(NULL AS BIGINT) AS anon__12
FROM parents JOIN author AS author_3 ON parents.author_id = author_3.author_id JOIN prize AS prize_1 ON author_3.author_id = prize_1.author_id
UNION ALL SELECT 2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__13, CAST(NULL AS NUMERIC(9, 3)) AS anon__14, CAST(NULL AS VARCHAR) AS anon__15, CAST(NULL AS INTEGER) AS anon__16, CAST(NULL AS UUID) AS anon__17, CAST(NULL AS VARCHAR(200)) AS anon__18, CAST(NULL AS UUID) AS anon__19, CAST(NULL AS VARCHAR(200)) AS anon__20, CAST(NULL AS UUID) AS anon__21, CAST(NULL AS UUID) AS anon__22, CAST(NULL AS VARCHAR) AS anon__23, CAST(NULL AS BIGINT) AS anon__24, prize_2.name, row_number() OVER (ORDER BY length(prize_2.name) DESC, prize_2.prize_id DESC NULLS LAST) AS anon_3
FROM parents JOIN author AS author_4 ON parents.editor_id = author_4.author_id JOIN prize AS prize_2 ON author_4.author_id = prize_2.author_id
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, c12, c14;

-- BookDetail: All of it.
SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, (SELECT count(*) AS count_1
FROM chapter AS chapter_1
WHERE parents.book_id = chapter_1.book_id) AS c6, (SELECT count(*) AS count_2
FROM bookgenre AS bookgenre_1
WHERE parents.book_id = bookgenre_1.book_id) AS c7, (SELECT CAST(coalesce(sum(chapter_2.pages), CAST(0 AS INTEGER)) AS BIGINT) AS coalesce_1
FROM chapter AS chapter_2
WHERE parents.book_id = chapter_2.book_id) AS c8, (SELECT CAST(coalesce(sum(edition_1.copies), CAST(0 AS BIGINT)) AS BIGINT) AS coalesce_2
FROM edition AS edition_1
WHERE parents.book_id = edition_1.book_id) AS c9, (SELECT coalesce(sum(edition_2.price), CAST(0 AS NUMERIC(9, 2))) AS coalesce_3
FROM edition AS edition_2
WHERE parents.book_id = edition_2.book_id) AS c10, upper(parents.title) AS c11, author_1.name AS c12, author_1.author_id AS c13, author_2.name AS c14, author_2.author_id AS c15, author_2.author_id AS c16, CAST(NULL AS VARCHAR) AS c17, CAST(NULL AS BIGINT) AS c18, CAST(NULL AS VARCHAR) AS c19, CAST(NULL AS BIGINT) AS c20, CAST(NULL AS VARCHAR(200)) AS c21, CAST(NULL AS UUID) AS c22, CAST(NULL AS VARCHAR(200)) AS c23, CAST(NULL AS INTEGER) AS c24, CAST(NULL AS VARCHAR(200)) AS c25, CAST(NULL AS INTEGER) AS c26, CAST(NULL AS INTEGER) AS c27, CAST(NULL AS UUID) AS c28, CAST(NULL AS INTEGER) AS c29, CAST(NULL AS INTEGER) AS c30, CAST(NULL AS VARCHAR(200)) AS c31, CAST(NULL AS INTEGER) AS c32
FROM book AS parents JOIN author AS author_1 ON parents.author_id = author_1.author_id LEFT OUTER JOIN author AS author_2 ON parents.editor_id = author_2.author_id
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, CAST(NULL AS INTEGER) AS anon__6, CAST(NULL AS INTEGER) AS anon__7, CAST(NULL AS BIGINT) AS anon__8, CAST(NULL AS BIGINT) AS anon__9, CAST(NULL AS NUMERIC(9, 2)) AS anon__10, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__12, CAST(NULL AS UUID) AS anon__13, CAST(NULL AS VARCHAR(200)) AS anon__14, CAST(NULL AS UUID) AS anon__15, CAST(NULL AS UUID) AS anon__16, prize_1.name, row_number() OVER (ORDER BY length(prize_1.name) DESC, prize_1.prize_id DESC NULLS LAST) AS anon_2, CAST(NULL AS VARCHAR) AS anon__17, CAST(NULL AS BIGINT) AS anon__18, CAST(NULL AS VARCHAR(200)) AS anon__19, CAST(NULL AS UUID) AS anon__20, CAST(NULL AS VARCHAR(200)) AS anon__21, CAST(NULL AS INTEGER) AS anon__22, CAST(NULL AS VARCHAR(200)) AS anon__23, CAST(NULL AS INTEGER) AS anon__24, CAST(NULL AS INTEGER) AS anon__25, CAST(NULL AS UUID) AS anon__26, CAST(NULL AS INTEGER) AS anon__27, CAST(NULL AS INTEGER) AS anon__28, CAST(NULL AS VARCHAR(200)) AS anon__29, CAST(NULL AS INTEGER) AS anon__30
FROM book AS parents JOIN author AS author_3 ON parents.author_id = author_3.author_id JOIN prize AS prize_1 ON author_3.author_id = prize_1.author_id
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__31, CAST(NULL AS NUMERIC(9, 3)) AS anon__32, CAST(NULL AS VARCHAR) AS anon__33, CAST(NULL AS INTEGER) AS anon__34, CAST(NULL AS UUID) AS anon__35, CAST(NULL AS INTEGER) AS anon__36, CAST(NULL AS INTEGER) AS anon__37, CAST(NULL AS BIGINT) AS anon__38, CAST(NULL AS BIGINT) AS anon__39, CAST(NULL AS NUMERIC(9, 2)) AS anon__40, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__41, CAST(NULL AS UUID) AS anon__42, CAST(NULL AS VARCHAR(200)) AS anon__43, CAST(NULL AS UUID) AS anon__44, CAST(NULL AS UUID) AS anon__45, CAST(NULL AS VARCHAR) AS anon__46, CAST(NULL AS BIGINT) AS anon__47, prize_2.name, row_number() OVER (ORDER BY length(prize_2.name) DESC, prize_2.prize_id DESC NULLS LAST) AS anon_3, CAST(NULL AS VARCHAR(200)) AS anon__48, CAST(NULL AS UUID) AS anon__49, CAST(NULL AS VARCHAR(200)) AS anon__50, CAST(NULL AS INTEGER) AS anon__51, CAST(NULL AS VARCHAR(200)) AS anon__52, CAST(NULL AS INTEGER) AS anon__53, CAST(NULL AS INTEGER) AS anon__54, CAST(NULL AS UUID) AS anon__55, CAST(NULL AS INTEGER) AS anon__56, CAST(NULL AS INTEGER) AS anon__57, CAST(NULL AS VARCHAR(200)) AS anon__58, CAST(NULL AS INTEGER) AS anon__59
FROM book AS parents JOIN author AS author_4 ON parents.editor_id = author_4.author_id JOIN prize AS prize_2 ON author_4.author_id = prize_2.author_id
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 3, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__60, CAST(NULL AS NUMERIC(9, 3)) AS anon__61, CAST(NULL AS VARCHAR) AS anon__62, CAST(NULL AS INTEGER) AS anon__63, CAST(NULL AS UUID) AS anon__64, CAST(NULL AS INTEGER) AS anon__65, CAST(NULL AS INTEGER) AS anon__66, CAST(NULL AS BIGINT) AS anon__67, CAST(NULL AS BIGINT) AS anon__68, CAST(NULL AS NUMERIC(9, 2)) AS anon__69, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__70, CAST(NULL AS UUID) AS anon__71, CAST(NULL AS VARCHAR(200)) AS anon__72, CAST(NULL AS UUID) AS anon__73, CAST(NULL AS UUID) AS anon__74, CAST(NULL AS VARCHAR) AS anon__75, CAST(NULL AS BIGINT) AS anon__76, CAST(NULL AS VARCHAR) AS anon__77, CAST(NULL AS BIGINT) AS anon__78, genre_1.name, genre_1.genre_id, genre_1.name AS name__1, CAST(NULL AS INTEGER) AS anon__79, CAST(NULL AS VARCHAR(200)) AS anon__80, CAST(NULL AS INTEGER) AS anon__81, CAST(NULL AS INTEGER) AS anon__82, CAST(NULL AS UUID) AS anon__83, CAST(NULL AS INTEGER) AS anon__84, CAST(NULL AS INTEGER) AS anon__85, CAST(NULL AS VARCHAR(200)) AS anon__86, CAST(NULL AS INTEGER) AS anon__87
FROM book AS parents JOIN bookgenre AS bookgenre_2 ON parents.book_id = bookgenre_2.book_id AND bookgenre_2.book_id = $1::UUID JOIN genre AS genre_1 ON bookgenre_2.genre_id = genre_1.genre_id
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 4, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__88, CAST(NULL AS NUMERIC(9, 3)) AS anon__89, CAST(NULL AS VARCHAR) AS anon__90, CAST(NULL AS INTEGER) AS anon__91, CAST(NULL AS UUID) AS anon__92, CAST(NULL AS INTEGER) AS anon__93, CAST(NULL AS INTEGER) AS anon__94, CAST(NULL AS BIGINT) AS anon__95, CAST(NULL AS BIGINT) AS anon__96, CAST(NULL AS NUMERIC(9, 2)) AS anon__97, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__98, CAST(NULL AS UUID) AS anon__99, CAST(NULL AS VARCHAR(200)) AS anon__100, CAST(NULL AS UUID) AS anon__101, CAST(NULL AS UUID) AS anon__102, CAST(NULL AS VARCHAR) AS anon__103, CAST(NULL AS BIGINT) AS anon__104, CAST(NULL AS VARCHAR) AS anon__105, CAST(NULL AS BIGINT) AS anon__106, CAST(NULL AS VARCHAR(200)) AS anon__107, CAST(NULL AS UUID) AS anon__108, CAST(NULL AS VARCHAR(200)) AS anon__109, chapter_3.number, chapter_3.title, chapter_3.pages, (SELECT count(*) AS count_3
FROM note AS note_1
WHERE chapter_3.book_id = note_1.book_id AND chapter_3.number = note_1.number) AS anon_4, chapter_3.book_id AS book_id_1, chapter_3.number AS number__1, chapter_3.number AS number__2, CAST(NULL AS VARCHAR(200)) AS anon__110, CAST(NULL AS INTEGER) AS anon__111
FROM book AS parents JOIN chapter AS chapter_3 ON parents.book_id = chapter_3.book_id AND chapter_3.book_id = $1::UUID
WHERE parents.book_id = $1::UUID
UNION ALL SELECT 5, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__112, CAST(NULL AS NUMERIC(9, 3)) AS anon__113, CAST(NULL AS VARCHAR) AS anon__114, CAST(NULL AS INTEGER) AS anon__115, CAST(NULL AS UUID) AS anon__116, CAST(NULL AS INTEGER) AS anon__117, CAST(NULL AS INTEGER) AS anon__118, CAST(NULL AS BIGINT) AS anon__119, CAST(NULL AS BIGINT) AS anon__120, CAST(NULL AS NUMERIC(9, 2)) AS anon__121, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__122, CAST(NULL AS UUID) AS anon__123, CAST(NULL AS VARCHAR(200)) AS anon__124, CAST(NULL AS UUID) AS anon__125, CAST(NULL AS UUID) AS anon__126, CAST(NULL AS VARCHAR) AS anon__127, CAST(NULL AS BIGINT) AS anon__128, CAST(NULL AS VARCHAR) AS anon__129, CAST(NULL AS BIGINT) AS anon__130, CAST(NULL AS VARCHAR(200)) AS anon__131, CAST(NULL AS UUID) AS anon__132, CAST(NULL AS VARCHAR(200)) AS anon__133, CAST(NULL AS INTEGER) AS anon__134, CAST(NULL AS VARCHAR(200)) AS anon__135, CAST(NULL AS INTEGER) AS anon__136, CAST(NULL AS INTEGER) AS anon__137, chapter_4.book_id AS book_id_2, chapter_4.number, CAST(NULL AS INTEGER) AS anon__138, note_2.text, note_2.note_id
FROM book AS parents JOIN chapter AS chapter_4 ON parents.book_id = chapter_4.book_id AND chapter_4.book_id = $1::UUID JOIN note AS note_2 ON chapter_4.book_id = note_2.book_id AND chapter_4.number = note_2.number
WHERE parents.book_id = $1::UUID
ORDER BY list, c18, c20, c23, c30, c32;
WITH parents AS (SELECT book.version AS version, book.title AS title, book.shelf AS shelf, book.weight AS weight, book.status AS status, book.title_length AS title_length, book.book_id AS book_id, book.author_id AS author_id, book.editor_id AS editor_id
FROM book
WHERE book.shelf = $1::VARCHAR
ORDER BY book.shelf ASC NULLS LAST, book.book_id ASC
LIMIT $2::INTEGER) SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, (SELECT count(*) AS count_1
FROM chapter AS chapter_1
WHERE parents.book_id = chapter_1.book_id) AS c6, (SELECT count(*) AS count_2
FROM bookgenre AS bookgenre_1
WHERE parents.book_id = bookgenre_1.book_id) AS c7, (SELECT CAST(coalesce(sum(chapter_2.pages), CAST(0 AS INTEGER)) AS BIGINT) AS coalesce_1
FROM chapter AS chapter_2
WHERE parents.book_id = chapter_2.book_id) AS c8, (SELECT CAST(coalesce(sum(edition_1.copies), CAST(0 AS BIGINT)) AS BIGINT) AS coalesce_2
FROM edition AS edition_1
WHERE parents.book_id = edition_1.book_id) AS c9, (SELECT coalesce(sum(edition_2.price), CAST(0 AS NUMERIC(9, 2))) AS coalesce_3
FROM edition AS edition_2
WHERE parents.book_id = edition_2.book_id) AS c10, upper(parents.title) AS c11, author_1.name AS c12, author_1.author_id AS c13, author_2.name AS c14, author_2.author_id AS c15, author_2.author_id AS c16, CAST(NULL AS VARCHAR) AS c17, CAST(NULL AS BIGINT) AS c18, CAST(NULL AS VARCHAR) AS c19, CAST(NULL AS BIGINT) AS c20, CAST(NULL AS VARCHAR(200)) AS c21, CAST(NULL AS UUID) AS c22, CAST(NULL AS VARCHAR(200)) AS c23, CAST(NULL AS INTEGER) AS c24, CAST(NULL AS VARCHAR(200)) AS c25, CAST(NULL AS INTEGER) AS c26, CAST(NULL AS INTEGER) AS c27, CAST(NULL AS UUID) AS c28, CAST(NULL AS INTEGER) AS c29, CAST(NULL AS INTEGER) AS c30, CAST(NULL AS VARCHAR(200)) AS c31, CAST(NULL AS INTEGER) AS c32
FROM parents JOIN author AS author_1 ON parents.author_id = author_1.author_id LEFT OUTER JOIN author AS author_2 ON parents.editor_id = author_2.author_id
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, CAST(NULL AS INTEGER) AS anon__6, CAST(NULL AS INTEGER) AS anon__7, CAST(NULL AS BIGINT) AS anon__8, CAST(NULL AS BIGINT) AS anon__9, CAST(NULL AS NUMERIC(9, 2)) AS anon__10, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__12, CAST(NULL AS UUID) AS anon__13, CAST(NULL AS VARCHAR(200)) AS anon__14, CAST(NULL AS UUID) AS anon__15, CAST(NULL AS UUID) AS anon__16, prize_1.name, row_number() OVER (ORDER BY length(prize_1.name) DESC, prize_1.prize_id DESC NULLS LAST) AS anon_2, CAST(NULL AS VARCHAR) AS anon__17, CAST(NULL AS BIGINT) AS anon__18, CAST(NULL AS VARCHAR(200)) AS anon__19, CAST(NULL AS UUID) AS anon__20, CAST(NULL AS VARCHAR(200)) AS anon__21, CAST(NULL AS INTEGER) AS anon__22, CAST(NULL AS VARCHAR(200)) AS anon__23, CAST(NULL AS INTEGER) AS anon__24, CAST(NULL AS INTEGER) AS anon__25, CAST(NULL AS UUID) AS anon__26, CAST(NULL AS INTEGER) AS anon__27, CAST(NULL AS INTEGER) AS anon__28, CAST(NULL AS VARCHAR(200)) AS anon__29, CAST(NULL AS INTEGER) AS anon__30
FROM parents JOIN author AS author_3 ON parents.author_id = author_3.author_id JOIN prize AS prize_1 ON author_3.author_id = prize_1.author_id
UNION ALL SELECT 2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__31, CAST(NULL AS NUMERIC(9, 3)) AS anon__32, CAST(NULL AS VARCHAR) AS anon__33, CAST(NULL AS INTEGER) AS anon__34, CAST(NULL AS UUID) AS anon__35, CAST(NULL AS INTEGER) AS anon__36, CAST(NULL AS INTEGER) AS anon__37, CAST(NULL AS BIGINT) AS anon__38, CAST(NULL AS BIGINT) AS anon__39, CAST(NULL AS NUMERIC(9, 2)) AS anon__40, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__41, CAST(NULL AS UUID) AS anon__42, CAST(NULL AS VARCHAR(200)) AS anon__43, CAST(NULL AS UUID) AS anon__44, CAST(NULL AS UUID) AS anon__45, CAST(NULL AS VARCHAR) AS anon__46, CAST(NULL AS BIGINT) AS anon__47, prize_2.name, row_number() OVER (ORDER BY length(prize_2.name) DESC, prize_2.prize_id DESC NULLS LAST) AS anon_3, CAST(NULL AS VARCHAR(200)) AS anon__48, CAST(NULL AS UUID) AS anon__49, CAST(NULL AS VARCHAR(200)) AS anon__50, CAST(NULL AS INTEGER) AS anon__51, CAST(NULL AS VARCHAR(200)) AS anon__52, CAST(NULL AS INTEGER) AS anon__53, CAST(NULL AS INTEGER) AS anon__54, CAST(NULL AS UUID) AS anon__55, CAST(NULL AS INTEGER) AS anon__56, CAST(NULL AS INTEGER) AS anon__57, CAST(NULL AS VARCHAR(200)) AS anon__58, CAST(NULL AS INTEGER) AS anon__59
FROM parents JOIN author AS author_4 ON parents.editor_id = author_4.author_id JOIN prize AS prize_2 ON author_4.author_id = prize_2.author_id
UNION ALL SELECT 3, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__60, CAST(NULL AS NUMERIC(9, 3)) AS anon__61, CAST(NULL AS VARCHAR) AS anon__62, CAST(NULL AS INTEGER) AS anon__63, CAST(NULL AS UUID) AS anon__64, CAST(NULL AS INTEGER) AS anon__65, CAST(NULL AS INTEGER) AS anon__66, CAST(NULL AS BIGINT) AS anon__67, CAST(NULL AS BIGINT) AS anon__68, CAST(NULL AS NUMERIC(9, 2)) AS anon__69, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__70, CAST(NULL AS UUID) AS anon__71, CAST(NULL AS VARCHAR(200)) AS anon__72, CAST(NULL AS UUID) AS anon__73, CAST(NULL AS UUID) AS anon__74, CAST(NULL AS VARCHAR) AS anon__75, CAST(NULL AS BIGINT) AS anon__76, CAST(NULL AS VARCHAR) AS anon__77, CAST(NULL AS BIGINT) AS anon__78, genre_1.name, genre_1.genre_id, genre_1.name AS name__1, CAST(NULL AS INTEGER) AS anon__79, CAST(NULL AS VARCHAR(200)) AS anon__80, CAST(NULL AS INTEGER) AS anon__81, CAST(NULL AS INTEGER) AS anon__82, CAST(NULL AS UUID) AS anon__83, CAST(NULL AS INTEGER) AS anon__84, CAST(NULL AS INTEGER) AS anon__85, CAST(NULL AS VARCHAR(200)) AS anon__86, CAST(NULL AS INTEGER) AS anon__87
FROM parents JOIN bookgenre AS bookgenre_2 ON parents.book_id = bookgenre_2.book_id JOIN genre AS genre_1 ON bookgenre_2.genre_id = genre_1.genre_id
UNION ALL SELECT 4, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__88, CAST(NULL AS NUMERIC(9, 3)) AS anon__89, CAST(NULL AS VARCHAR) AS anon__90, CAST(NULL AS INTEGER) AS anon__91, CAST(NULL AS UUID) AS anon__92, CAST(NULL AS INTEGER) AS anon__93, CAST(NULL AS INTEGER) AS anon__94, CAST(NULL AS BIGINT) AS anon__95, CAST(NULL AS BIGINT) AS anon__96, CAST(NULL AS NUMERIC(9, 2)) AS anon__97, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__98, CAST(NULL AS UUID) AS anon__99, CAST(NULL AS VARCHAR(200)) AS anon__100, CAST(NULL AS UUID) AS anon__101, CAST(NULL AS UUID) AS anon__102, CAST(NULL AS VARCHAR) AS anon__103, CAST(NULL AS BIGINT) AS anon__104, CAST(NULL AS VARCHAR) AS anon__105, CAST(NULL AS BIGINT) AS anon__106, CAST(NULL AS VARCHAR(200)) AS anon__107, CAST(NULL AS UUID) AS anon__108, CAST(NULL AS VARCHAR(200)) AS anon__109, chapter_3.number, chapter_3.title, chapter_3.pages, (SELECT count(*) AS count_3
FROM note AS note_1
WHERE chapter_3.book_id = note_1.book_id AND chapter_3.number = note_1.number) AS anon_4, chapter_3.book_id AS book_id_1, chapter_3.number AS number__1, chapter_3.number AS number__2, CAST(NULL AS VARCHAR(200)) AS anon__110, CAST(NULL AS INTEGER) AS anon__111
FROM parents JOIN chapter AS chapter_3 ON parents.book_id = chapter_3.book_id
UNION ALL SELECT 5, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__112, CAST(NULL AS NUMERIC(9, 3)) AS anon__113, CAST(NULL AS VARCHAR) AS anon__114, CAST(NULL AS INTEGER) AS anon__115, CAST(NULL AS UUID) AS anon__116, CAST(NULL AS INTEGER) AS anon__117, CAST(NULL AS INTEGER) AS anon__118, CAST(NULL AS BIGINT) AS anon__119, CAST(NULL AS BIGINT) AS anon__120, CAST(NULL AS NUMERIC(9, 2)) AS anon__121, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__122, CAST(NULL AS UUID) AS anon__123, CAST(NULL AS VARCHAR(200)) AS anon__124, CAST(NULL AS UUID) AS anon__125, CAST(NULL AS UUID) AS anon__126, CAST(NULL AS VARCHAR) AS anon__127, CAST(NULL AS BIGINT) AS anon__128, CAST(NULL AS VARCHAR) AS anon__129, CAST(NULL AS BIGINT) AS anon__130, CAST(NULL AS VARCHAR(200)) AS anon__131, CAST(NULL AS UUID) AS anon__132, CAST(NULL AS VARCHAR(200)) AS anon__133, CAST(NULL AS INTEGER) AS anon__134, CAST(NULL AS VARCHAR(200)) AS anon__135, CAST(NULL AS INTEGER) AS anon__136, CAST(NULL AS INTEGER) AS anon__137, chapter_4.book_id AS book_id_2, chapter_4.number, CAST(NULL AS INTEGER) AS anon__138, note_2.text, note_2.note_id
FROM parents JOIN chapter AS chapter_4 ON parents.book_id = chapter_4.book_id JOIN note AS note_2 ON chapter_4.book_id = note_2.book_id AND chapter_4.number = note_2.number
ORDER BY list, c1 ASC NULLS LAST, c5 ASC, c18, c20, c23, c30, c32;

-- BookDetail, inserted
INSERT INTO book (version, title, shelf, weight, book_id, author_id, editor_id)
VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR, $4, $5::UUID, $6::UUID, $7::UUID);
INSERT INTO bookgenre (book_id, genre_id)
VALUES ($1::UUID, $2::UUID);
INSERT INTO chapter (title, pages, book_id, number)
VALUES ($1::VARCHAR, $2::INTEGER, $3::UUID, $4::INTEGER);
INSERT INTO note (text, book_id, number)
VALUES ($1::VARCHAR, $2::UUID, $3::INTEGER);
SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, (SELECT count(*) AS count_1
FROM chapter AS chapter_1
WHERE parents.book_id = chapter_1.book_id) AS c6, (SELECT count(*) AS count_2
FROM bookgenre AS bookgenre_1
WHERE parents.book_id = bookgenre_1.book_id) AS c7, (SELECT CAST(coalesce(sum(chapter_2.pages), CAST(0 AS INTEGER)) AS BIGINT) AS coalesce_1
FROM chapter AS chapter_2
WHERE parents.book_id = chapter_2.book_id) AS c8, (SELECT CAST(coalesce(sum(edition_1.copies), CAST(0 AS BIGINT)) AS BIGINT) AS coalesce_2
FROM edition AS edition_1
WHERE parents.book_id = edition_1.book_id) AS c9, (SELECT coalesce(sum(edition_2.price), CAST(0 AS NUMERIC(9, 2))) AS coalesce_3
FROM edition AS edition_2
WHERE parents.book_id = edition_2.book_id) AS c10, upper(parents.title) AS c11, author_1.name AS c12, author_1.author_id AS c13, author_2.name AS c14, author_2.author_id AS c15, author_2.author_id AS c16, CAST(NULL AS VARCHAR) AS c17, CAST(NULL AS BIGINT) AS c18, CAST(NULL AS VARCHAR) AS c19, CAST(NULL AS BIGINT) AS c20, CAST(NULL AS VARCHAR(200)) AS c21, CAST(NULL AS UUID) AS c22, CAST(NULL AS VARCHAR(200)) AS c23, CAST(NULL AS INTEGER) AS c24, CAST(NULL AS VARCHAR(200)) AS c25, CAST(NULL AS INTEGER) AS c26, CAST(NULL AS INTEGER) AS c27, CAST(NULL AS UUID) AS c28, CAST(NULL AS INTEGER) AS c29, CAST(NULL AS INTEGER) AS c30, CAST(NULL AS VARCHAR(200)) AS c31, CAST(NULL AS INTEGER) AS c32
FROM book AS parents JOIN author AS author_1 ON parents.author_id = author_1.author_id LEFT OUTER JOIN author AS author_2 ON parents.editor_id = author_2.author_id
WHERE parents.book_id IN ($1::UUID)
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, CAST(NULL AS INTEGER) AS anon__6, CAST(NULL AS INTEGER) AS anon__7, CAST(NULL AS BIGINT) AS anon__8, CAST(NULL AS BIGINT) AS anon__9, CAST(NULL AS NUMERIC(9, 2)) AS anon__10, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__12, CAST(NULL AS UUID) AS anon__13, CAST(NULL AS VARCHAR(200)) AS anon__14, CAST(NULL AS UUID) AS anon__15, CAST(NULL AS UUID) AS anon__16, prize_1.name, row_number() OVER (ORDER BY length(prize_1.name) DESC, prize_1.prize_id DESC NULLS LAST) AS anon_2, CAST(NULL AS VARCHAR) AS anon__17, CAST(NULL AS BIGINT) AS anon__18, CAST(NULL AS VARCHAR(200)) AS anon__19, CAST(NULL AS UUID) AS anon__20, CAST(NULL AS VARCHAR(200)) AS anon__21, CAST(NULL AS INTEGER) AS anon__22, CAST(NULL AS VARCHAR(200)) AS anon__23, CAST(NULL AS INTEGER) AS anon__24, CAST(NULL AS INTEGER) AS anon__25, CAST(NULL AS UUID) AS anon__26, CAST(NULL AS INTEGER) AS anon__27, CAST(NULL AS INTEGER) AS anon__28, CAST(NULL AS VARCHAR(200)) AS anon__29, CAST(NULL AS INTEGER) AS anon__30
FROM book AS parents JOIN author AS author_3 ON parents.author_id = author_3.author_id JOIN prize AS prize_1 ON author_3.author_id = prize_1.author_id
WHERE parents.book_id IN ($1::UUID)
UNION ALL SELECT 2, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__31, CAST(NULL AS NUMERIC(9, 3)) AS anon__32, CAST(NULL AS VARCHAR) AS anon__33, CAST(NULL AS INTEGER) AS anon__34, CAST(NULL AS UUID) AS anon__35, CAST(NULL AS INTEGER) AS anon__36, CAST(NULL AS INTEGER) AS anon__37, CAST(NULL AS BIGINT) AS anon__38, CAST(NULL AS BIGINT) AS anon__39, CAST(NULL AS NUMERIC(9, 2)) AS anon__40, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__41, CAST(NULL AS UUID) AS anon__42, CAST(NULL AS VARCHAR(200)) AS anon__43, CAST(NULL AS UUID) AS anon__44, CAST(NULL AS UUID) AS anon__45, CAST(NULL AS VARCHAR) AS anon__46, CAST(NULL AS BIGINT) AS anon__47, prize_2.name, row_number() OVER (ORDER BY length(prize_2.name) DESC, prize_2.prize_id DESC NULLS LAST) AS anon_3, CAST(NULL AS VARCHAR(200)) AS anon__48, CAST(NULL AS UUID) AS anon__49, CAST(NULL AS VARCHAR(200)) AS anon__50, CAST(NULL AS INTEGER) AS anon__51, CAST(NULL AS VARCHAR(200)) AS anon__52, CAST(NULL AS INTEGER) AS anon__53, CAST(NULL AS INTEGER) AS anon__54, CAST(NULL AS UUID) AS anon__55, CAST(NULL AS INTEGER) AS anon__56, CAST(NULL AS INTEGER) AS anon__57, CAST(NULL AS VARCHAR(200)) AS anon__58, CAST(NULL AS INTEGER) AS anon__59
FROM book AS parents JOIN author AS author_4 ON parents.editor_id = author_4.author_id JOIN prize AS prize_2 ON author_4.author_id = prize_2.author_id
WHERE parents.book_id IN ($1::UUID)
UNION ALL SELECT 3, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__60, CAST(NULL AS NUMERIC(9, 3)) AS anon__61, CAST(NULL AS VARCHAR) AS anon__62, CAST(NULL AS INTEGER) AS anon__63, CAST(NULL AS UUID) AS anon__64, CAST(NULL AS INTEGER) AS anon__65, CAST(NULL AS INTEGER) AS anon__66, CAST(NULL AS BIGINT) AS anon__67, CAST(NULL AS BIGINT) AS anon__68, CAST(NULL AS NUMERIC(9, 2)) AS anon__69, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__70, CAST(NULL AS UUID) AS anon__71, CAST(NULL AS VARCHAR(200)) AS anon__72, CAST(NULL AS UUID) AS anon__73, CAST(NULL AS UUID) AS anon__74, CAST(NULL AS VARCHAR) AS anon__75, CAST(NULL AS BIGINT) AS anon__76, CAST(NULL AS VARCHAR) AS anon__77, CAST(NULL AS BIGINT) AS anon__78, genre_1.name, genre_1.genre_id, genre_1.name AS name__1, CAST(NULL AS INTEGER) AS anon__79, CAST(NULL AS VARCHAR(200)) AS anon__80, CAST(NULL AS INTEGER) AS anon__81, CAST(NULL AS INTEGER) AS anon__82, CAST(NULL AS UUID) AS anon__83, CAST(NULL AS INTEGER) AS anon__84, CAST(NULL AS INTEGER) AS anon__85, CAST(NULL AS VARCHAR(200)) AS anon__86, CAST(NULL AS INTEGER) AS anon__87
FROM book AS parents JOIN bookgenre AS bookgenre_2 ON parents.book_id = bookgenre_2.book_id AND bookgenre_2.book_id IN ($1::UUID) JOIN genre AS genre_1 ON bookgenre_2.genre_id = genre_1.genre_id
WHERE parents.book_id IN ($1::UUID)
UNION ALL SELECT 4, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__88, CAST(NULL AS NUMERIC(9, 3)) AS anon__89, CAST(NULL AS VARCHAR) AS anon__90, CAST(NULL AS INTEGER) AS anon__91, CAST(NULL AS UUID) AS anon__92, CAST(NULL AS INTEGER) AS anon__93, CAST(NULL AS INTEGER) AS anon__94, CAST(NULL AS BIGINT) AS anon__95, CAST(NULL AS BIGINT) AS anon__96, CAST(NULL AS NUMERIC(9, 2)) AS anon__97, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__98, CAST(NULL AS UUID) AS anon__99, CAST(NULL AS VARCHAR(200)) AS anon__100, CAST(NULL AS UUID) AS anon__101, CAST(NULL AS UUID) AS anon__102, CAST(NULL AS VARCHAR) AS anon__103, CAST(NULL AS BIGINT) AS anon__104, CAST(NULL AS VARCHAR) AS anon__105, CAST(NULL AS BIGINT) AS anon__106, CAST(NULL AS VARCHAR(200)) AS anon__107, CAST(NULL AS UUID) AS anon__108, CAST(NULL AS VARCHAR(200)) AS anon__109, chapter_3.number, chapter_3.title, chapter_3.pages, (SELECT count(*) AS count_3
FROM note AS note_1
WHERE chapter_3.book_id = note_1.book_id AND chapter_3.number = note_1.number) AS anon_4, chapter_3.book_id AS book_id_1, chapter_3.number AS number__1, chapter_3.number AS number__2, CAST(NULL AS VARCHAR(200)) AS anon__110, CAST(NULL AS INTEGER) AS anon__111
FROM book AS parents JOIN chapter AS chapter_3 ON parents.book_id = chapter_3.book_id AND chapter_3.book_id IN ($1::UUID)
WHERE parents.book_id IN ($1::UUID)
UNION ALL SELECT 5, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__112, CAST(NULL AS NUMERIC(9, 3)) AS anon__113, CAST(NULL AS VARCHAR) AS anon__114, CAST(NULL AS INTEGER) AS anon__115, CAST(NULL AS UUID) AS anon__116, CAST(NULL AS INTEGER) AS anon__117, CAST(NULL AS INTEGER) AS anon__118, CAST(NULL AS BIGINT) AS anon__119, CAST(NULL AS BIGINT) AS anon__120, CAST(NULL AS NUMERIC(9, 2)) AS anon__121, NULL AS anon__11, CAST(NULL AS VARCHAR(200)) AS anon__122, CAST(NULL AS UUID) AS anon__123, CAST(NULL AS VARCHAR(200)) AS anon__124, CAST(NULL AS UUID) AS anon__125, CAST(NULL AS UUID) AS anon__126, CAST(NULL AS VARCHAR) AS anon__127, CAST(NULL AS BIGINT) AS anon__128, CAST(NULL AS VARCHAR) AS anon__129, CAST(NULL AS BIGINT) AS anon__130, CAST(NULL AS VARCHAR(200)) AS anon__131, CAST(NULL AS UUID) AS anon__132, CAST(NULL AS VARCHAR(200)) AS anon__133, CAST(NULL AS INTEGER) AS anon__134, CAST(NULL AS VARCHAR(200)) AS anon__135, CAST(NULL AS INTEGER) AS anon__136, CAST(NULL AS INTEGER) AS anon__137, chapter_4.book_id AS book_id_2, chapter_4.number, CAST(NULL AS INTEGER) AS anon__138, note_2.text, note_2.note_id
FROM book AS parents JOIN chapter AS chapter_4 ON parents.book_id = chapter_4.book_id AND chapter_4.book_id IN ($1::UUID) JOIN note AS note_2 ON chapter_4.book_id = note_2.book_id AND chapter_4.number = note_2.number
WHERE parents.book_id IN ($1::UUID)
ORDER BY list, c18, c20, c23, c30, c32;

-- BookGenres, inserted
INSERT INTO book (version, title, shelf, weight, book_id, author_id, editor_id)
VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR, $4, $5::UUID, $6::UUID, $7::UUID);
INSERT INTO bookgenre (book_id, genre_id)
VALUES ($1::UUID, (SELECT genre.genre_id
FROM genre
WHERE genre.name = $2::VARCHAR
ORDER BY genre.genre_id
LIMIT 1));
SELECT 0 AS list, parents.book_id AS key, parents.title AS c0, parents.shelf AS c1, parents.weight AS c2, parents.status AS c3, parents.title_length AS c4, parents.book_id AS c5, parents.author_id AS c6, CAST(NULL AS VARCHAR(200)) AS c7, CAST(NULL AS VARCHAR(200)) AS c8
FROM book AS parents
WHERE parents.book_id IN ($1::UUID)
UNION ALL SELECT 1, parents.book_id, CAST(NULL AS VARCHAR(200)) AS anon_1, CAST(NULL AS VARCHAR) AS anon__1, CAST(NULL AS NUMERIC(9, 3)) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3, CAST(NULL AS INTEGER) AS anon__4, CAST(NULL AS UUID) AS anon__5, CAST(NULL AS UUID) AS anon__6, genre_1.name, genre_1.name AS name__1
FROM book AS parents JOIN bookgenre AS bookgenre_1 ON parents.book_id = bookgenre_1.book_id AND bookgenre_1.book_id IN ($1::UUID) JOIN genre AS genre_1 ON bookgenre_1.genre_id = genre_1.genre_id
WHERE parents.book_id IN ($1::UUID)
ORDER BY list, c8;
