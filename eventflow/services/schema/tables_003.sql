CREATE TABLE table_tags (
    table_id INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (table_id, key)
) WITHOUT ROWID;

-- Times to live that are or were set on tables. An identifier is never used twice: rows of one that was disabled never count for the next.
CREATE TABLE table_lifetimes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    table_id INTEGER NOT NULL UNIQUE REFERENCES tables (id) ON DELETE CASCADE
);

-- When items expire, in Unix seconds; one row for each item that has such an instant.
CREATE TABLE table_expiries (
    lifetime_id INTEGER NOT NULL,
    instant INTEGER NOT NULL,
    item_id INTEGER NOT NULL,
    PRIMARY KEY (lifetime_id, instant, item_id)
) WITHOUT ROWID;

-- Sizes of item collections: of the items with one hash key in tables with local secondary indexes, their entries there included.
CREATE TABLE table_collections (
    table_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    hash BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (table_id, slot, hash)
) WITHOUT ROWID;

INSERT INTO table_collections (table_id, slot, hash, bytes)
SELECT i.table_id, i.slot, i.hash, SUM(i.bytes) + COALESCE((
    SELECT SUM(e.bytes) FROM table_entries AS e
    WHERE e.slot = i.slot AND e.hash = i.hash AND e.index_id IN (
        SELECT x.id FROM table_indexes AS x JOIN json_each((SELECT definition FROM tables WHERE id = i.table_id), '$.LocalSecondaryIndexes') AS l
        ON json_extract(l.value, '$.IndexName') = x.name WHERE x.table_id = i.table_id
    )
), 0)
FROM table_items AS i
WHERE i.table_id IN (SELECT id FROM tables WHERE json_type(definition, '$.LocalSecondaryIndexes') = 'array')
GROUP BY i.table_id, i.slot, i.hash;
