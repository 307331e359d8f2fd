-- Buckets: a name and the directory that it is.
CREATE TABLE buckets (
    name TEXT NOT NULL PRIMARY KEY,
    path TEXT UNIQUE, -- where it is kept apart from the other buckets
    region TEXT NOT NULL,
    created_at REAL NOT NULL
) WITHOUT ROWID;

-- What is known of one state of one key. The directory says which state a key is in; a row whose state is not the file's is history.
-- kind: file (state = size:mtime_ns:inode of the file), folder (a zero-byte key that ends in "/"; the inode is the directory's), removed.
-- settled is 0 while the file is so young that it could change again under the same time stamp: its ETag has to be computed anew.
CREATE TABLE objects (
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    sequencer TEXT NOT NULL,
    etag TEXT NOT NULL,
    settled INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    action TEXT NOT NULL,
    trace TEXT,
    principal TEXT,
    removed_at REAL,
    PRIMARY KEY (bucket, key, kind, state)
) WITHOUT ROWID;

CREATE INDEX objects_folders ON objects (bucket, key) WHERE kind = 'folder';
CREATE INDEX objects_removed ON objects (removed_at) WHERE kind = 'removed';

-- Multipart uploads that were begun and neither completed nor aborted, and the parts that arrived.
CREATE TABLE uploads (
    id TEXT NOT NULL PRIMARY KEY,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    attributes TEXT NOT NULL,
    algorithm TEXT,
    checksum_kind TEXT,
    initiated_at REAL NOT NULL
) WITHOUT ROWID;

CREATE INDEX uploads_keys ON uploads (bucket, key, id);

CREATE TABLE upload_parts (
    upload TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    file TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    checksum TEXT,
    modified_at REAL NOT NULL,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
