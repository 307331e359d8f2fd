-- The streams that tables have or had. trimmed is the sequence of the last record that is no longer kept; label is unique for a table's name.
-- Times are milliseconds since 1970; closed_at says when the stream was disabled or its table deleted.
CREATE TABLE table_streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    table_id INTEGER NOT NULL,
    region TEXT NOT NULL,
    table_name TEXT NOT NULL,
    label TEXT NOT NULL,
    view TEXT NOT NULL,
    key_schema TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    closed_at INTEGER,
    trimmed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (region, table_name, label)
);

-- place is the stream's identifier times 2^40 plus the record's sequence in it, which begins with 1 and has no gaps: one tree holds each stream's
-- records together and in order. expired tells that it was a time to live that ended. keys and images are DynamoDB's JSON; binary tells whether there
-- are base64 texts in them to decode.
CREATE TABLE table_stream_records (
    place INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    event TEXT NOT NULL,
    expired INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    binary INTEGER NOT NULL,
    keys TEXT NOT NULL,
    new_image TEXT,
    old_image TEXT
);
