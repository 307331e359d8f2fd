-- A table's identifier is never used twice: rows of a deleted table that a crash left behind can never show up in another.
CREATE TABLE tables (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    items INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (region, name)
);

CREATE TABLE table_indexes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    table_id INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    items INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (table_id, name)
);

-- hash and sort are key values in an encoding whose bytes sort as the values do; slot is a hash of hash, by which a scan is divided.
-- body is the item as DynamoDB's JSON; binary tells whether there are base64 texts in it to decode.
CREATE TABLE table_items (
    id INTEGER PRIMARY KEY,
    table_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    hash BLOB NOT NULL,
    sort BLOB NOT NULL,
    body TEXT NOT NULL,
    binary INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);

CREATE UNIQUE INDEX table_items_key ON table_items (table_id, slot, hash, sort);

-- One row for each item that a secondary index has; item_hash and item_sort order those whose index keys are equal.
CREATE TABLE table_entries (
    index_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    hash BLOB NOT NULL,
    sort BLOB NOT NULL,
    item_hash BLOB NOT NULL,
    item_sort BLOB NOT NULL,
    item_id INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (index_id, slot, hash, sort, item_hash, item_sort)
) WITHOUT ROWID;
