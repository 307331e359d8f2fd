-- What was set on a bucket by name (versioning, tagging, lifecycle, ...): JSON.
CREATE TABLE bucket_settings (
    bucket TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (bucket, name)
) WITHOUT ROWID;

-- The versions of keys in buckets with versioning, and their delete markers. The file in the bucket's directory says which version is current;
-- its row is here too, as its bytes have a second name (file) in the bucket's hidden folder, which outlives what is done to the first.
-- id is S3's version id, 'null' for what came while there was no versioning. state is size:mtime_ns:inode of the bytes; of a marker, of what it hid.
-- pending is 1 while the bucket's directory does not show it yet: without that it never was. going is 1 once it is deleted and its bytes are not.
CREATE TABLE versions (
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    sequencer TEXT NOT NULL,
    id TEXT NOT NULL,
    marker INTEGER NOT NULL,
    file TEXT,
    state TEXT NOT NULL,
    etag TEXT NOT NULL,
    attributes TEXT NOT NULL,
    action TEXT NOT NULL,
    trace TEXT,
    principal TEXT,
    modified_at REAL NOT NULL,
    pending INTEGER NOT NULL DEFAULT 0,
    going INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, key, sequencer DESC)
) WITHOUT ROWID;

CREATE INDEX versions_ids ON versions (bucket, key, id);
CREATE INDEX versions_unfinished ON versions (bucket) WHERE pending = 1 OR going = 1;
