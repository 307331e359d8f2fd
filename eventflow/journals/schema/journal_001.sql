-- Accepted asynchronous events. state: 0 ready, 1 waiting for due_at, 2 done, 3 dead (see eventflow/dispatch/journal.py).
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    function TEXT NOT NULL,
    key TEXT,
    payload BLOB NOT NULL,
    trace TEXT,
    source TEXT NOT NULL,
    accepted_at REAL NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    due_at REAL,
    settled_at REAL,
    function_errors INTEGER NOT NULL DEFAULT 0,
    system_errors INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX events_by_key ON events (function, key) WHERE key IS NOT NULL;
CREATE INDEX events_ready ON events (function, sequence) WHERE state = 0;
CREATE INDEX events_waiting ON events (function, due_at) WHERE state = 1;
CREATE INDEX events_dead ON events (function, sequence) WHERE state = 3;

-- The ledger: one row for every attempt, synchronous invocations included.
CREATE TABLE attempts (
    sequence INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    function TEXT NOT NULL,
    synchronous INTEGER NOT NULL,
    status TEXT NOT NULL,
    error_type TEXT,
    error_message TEXT,
    started_at REAL NOT NULL,
    duration_ms REAL NOT NULL,
    billed_ms INTEGER NOT NULL,
    init_ms REAL,
    memory_mb INTEGER NOT NULL,
    max_memory_mb INTEGER NOT NULL
);
CREATE INDEX attempts_by_event ON attempts (event_id);

-- The memory of triggers: what each has handled.
CREATE TABLE cursors (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
