-- Instants are whole milliseconds since 1970, as in SQS's timestamps: differences of them are exact.
-- Queue ids are never used again, so that a receipt handle of a deleted queue does not fit its successor.
CREATE TABLE queues (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    attributes TEXT NOT NULL,      -- JSON object: what was set, by AWS attribute name, values as text
    dead_letter TEXT,              -- the name in RedrivePolicy; a dead-letter queue lives in the same account and region
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    purged_at INTEGER,
    UNIQUE (region, name)
);

CREATE INDEX queues_by_dead_letter ON queues (region, dead_letter, name) WHERE dead_letter IS NOT NULL;

-- The state of a message, kept apart from its body: a receive rewrites this short row, never a megabyte of text.
-- The id is the order of arrival, is never used again, and is the sequence number of a FIFO queue.
CREATE TABLE queue_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
    visible_at INTEGER NOT NULL,
    receives INTEGER NOT NULL DEFAULT 0,          -- from this queue
    earlier_receives INTEGER NOT NULL DEFAULT 0,  -- from the queues it was dead-lettered from
    sent_at INTEGER NOT NULL,
    first_received_at INTEGER,
    received_at INTEGER,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    group_id TEXT,
    deduplication_id TEXT,
    source_arn TEXT                               -- the queue it was dead-lettered from
);

-- Receiving walks this index from its beginning and never meets a message that is in flight or delayed.
CREATE INDEX queue_messages_by_visibility ON queue_messages (queue, visible_at, receives);
CREATE INDEX queue_messages_by_age ON queue_messages (queue, sent_at);
CREATE INDEX queue_messages_by_group ON queue_messages (queue, group_id, id) WHERE group_id IS NOT NULL;

CREATE TABLE queue_bodies (
    id INTEGER PRIMARY KEY REFERENCES queue_messages (id) ON DELETE CASCADE,
    body TEXT NOT NULL,
    attributes TEXT,               -- JSON object of message attributes, binary values in base64
    trace TEXT
);

-- One row for each message group of a FIFO queue that has messages: when it may be served next.
CREATE TABLE queue_groups (
    queue INTEGER NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL,
    available_at INTEGER NOT NULL,
    PRIMARY KEY (queue, group_id)
) WITHOUT ROWID;

CREATE INDEX queue_groups_by_availability ON queue_groups (queue, available_at);

-- What a FIFO queue accepted in the last five minutes. ``scope`` is the group where deduplication is per group, else empty.
CREATE TABLE queue_deduplication (
    queue INTEGER NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
    scope TEXT NOT NULL,
    deduplication_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    sent_at INTEGER NOT NULL,
    PRIMARY KEY (queue, scope, deduplication_id)
) WITHOUT ROWID;

CREATE INDEX queue_deduplication_by_age ON queue_deduplication (queue, sent_at);
