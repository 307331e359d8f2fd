ALTER TABLE queues ADD COLUMN tags TEXT;   -- JSON object of tags, NULL where there are none

-- Names whose queue was deleted within the last minute: SQS gives them to no new queue meanwhile.
CREATE TABLE queue_deletions (
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    deleted_at INTEGER NOT NULL,
    PRIMARY KEY (region, name)
) WITHOUT ROWID;

-- Receives of FIFO queues that may be repeated by their ReceiveRequestAttemptId.
CREATE TABLE queue_receive_attempts (
    queue INTEGER NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
    attempt_id TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    hidden_until INTEGER NOT NULL,
    messages TEXT NOT NULL,        -- JSON array of [id, receives]
    PRIMARY KEY (queue, attempt_id)
) WITHOUT ROWID;

CREATE INDEX queue_receive_attempts_by_age ON queue_receive_attempts (queue, received_at);

-- Message move tasks: those that run go on after a restart, the last ten of each queue are kept.
CREATE TABLE queue_move_tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    source INTEGER NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
    destination_arn TEXT,          -- NULL: each message to the queue it came from
    rate INTEGER,                  -- messages a second, NULL: as fast as it goes
    newest INTEGER NOT NULL,       -- what came to the source later than this message stays
    status TEXT NOT NULL,          -- RUNNING, COMPLETED, CANCELLED, FAILED
    moved INTEGER NOT NULL DEFAULT 0,
    to_move INTEGER NOT NULL,
    failure TEXT,
    started_at INTEGER NOT NULL
);

CREATE INDEX queue_move_tasks_by_source ON queue_move_tasks (source, number);
CREATE INDEX queue_move_tasks_running ON queue_move_tasks (id) WHERE status = 'RUNNING';
