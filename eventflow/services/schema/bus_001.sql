-- Instants are Unix seconds. The default bus of a region is there without a row; it has one once something was set on it.
CREATE TABLE bus_buses (
    id INTEGER PRIMARY KEY,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    tags TEXT NOT NULL DEFAULT '{}',
    created_at REAL NOT NULL,
    modified_at REAL NOT NULL,
    UNIQUE (region, name)
);

-- A new text with every change of a rule, target, archive or subscription: who keeps them in memory compares it.
CREATE TABLE bus_revision (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), text TEXT NOT NULL);
INSERT INTO bus_revision VALUES (1, '');

CREATE TABLE bus_rules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bus INTEGER NOT NULL REFERENCES bus_buses (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    pattern TEXT,
    schedule TEXT,
    enabled INTEGER NOT NULL,
    description TEXT,
    role TEXT,
    tags TEXT NOT NULL DEFAULT '{}',
    anchor REAL,                   -- from when on a rate counts
    next_at REAL,                  -- the schedule's next instant; none while the rule is disabled
    UNIQUE (bus, name)
);

CREATE INDEX bus_rules_by_instant ON bus_rules (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE bus_targets (
    rule INTEGER NOT NULL REFERENCES bus_rules (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    arn TEXT NOT NULL,
    settings TEXT NOT NULL,        -- JSON: the target as PutTargets had it
    PRIMARY KEY (rule, id)
) WITHOUT ROWID;

CREATE INDEX bus_targets_by_arn ON bus_targets (arn, rule);

-- Deliveries that failed and are tried again.
CREATE TABLE bus_retries (
    id INTEGER PRIMARY KEY,
    due_at REAL NOT NULL,
    accepted_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    region TEXT NOT NULL,
    rule_arn TEXT NOT NULL,
    target TEXT NOT NULL,          -- as in bus_targets.settings
    payload TEXT NOT NULL,         -- what the target gets
    event TEXT NOT NULL,           -- what the bus got
    trace TEXT
);

CREATE INDEX bus_retries_by_instant ON bus_retries (due_at);

-- Who reads a bus: a trigger of a function. What matched waits for it.
CREATE TABLE bus_subscriptions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    bus TEXT NOT NULL,
    pattern TEXT NOT NULL
);

CREATE TABLE bus_waiting (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL REFERENCES bus_subscriptions (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    trace TEXT
);

CREATE INDEX bus_waiting_by_subscription ON bus_waiting (subscription, sequence);

CREATE TABLE bus_archives (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    bus TEXT NOT NULL,
    description TEXT,
    pattern TEXT,
    retention_days INTEGER NOT NULL,
    created_at REAL NOT NULL,
    events INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (region, name)
);

CREATE TABLE bus_archived (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    archive INTEGER NOT NULL REFERENCES bus_archives (id) ON DELETE CASCADE,
    time REAL NOT NULL,            -- the event's own
    archived_at REAL NOT NULL,
    bytes INTEGER NOT NULL,
    event TEXT NOT NULL
);

CREATE INDEX bus_archived_by_time ON bus_archived (archive, time, sequence);
CREATE INDEX bus_archived_by_age ON bus_archived (archive, archived_at);

CREATE TABLE bus_replays (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    archive TEXT NOT NULL,
    bus TEXT NOT NULL,
    rules TEXT,                    -- JSON list of ARNs; all rules where it is NULL
    description TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    start_time REAL NOT NULL,
    end_time REAL NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL,
    reached_time REAL,             -- up to where it has replayed
    reached_sequence INTEGER NOT NULL DEFAULT 0,
    UNIQUE (region, name)
);

CREATE INDEX bus_replays_by_state ON bus_replays (state) WHERE state IN ('STARTING', 'RUNNING', 'CANCELLING');
