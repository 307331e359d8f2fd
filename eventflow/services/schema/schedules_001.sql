-- EventBridge Scheduler's groups, its schedules, and the instants that have come and are not delivered yet. Instants are Unix seconds.

CREATE TABLE schedule_groups (
    region      TEXT NOT NULL,
    name        TEXT NOT NULL,
    created_at  REAL NOT NULL,
    modified_at REAL NOT NULL,
    tags        TEXT NOT NULL, -- a JSON object
    token       TEXT,          -- the ClientToken that it was created with
    PRIMARY KEY (region, name)
) WITHOUT ROWID;

CREATE TABLE schedules (
    id          INTEGER PRIMARY KEY,
    region      TEXT NOT NULL,
    group_name  TEXT NOT NULL,
    name        TEXT NOT NULL,
    definition  TEXT NOT NULL, -- JSON, as eventflow/services/schedules/definition.py writes it
    created_at  REAL NOT NULL,
    modified_at REAL NOT NULL,
    token       TEXT,
    anchor      REAL NOT NULL, -- from here on a rate counts
    instant     REAL,          -- the next instant of the expression; NULL: none is left, or it is disabled
    due_at      REAL,          -- when that instant is delivered, which a flexible window makes later
    UNIQUE (region, group_name, name)
);

CREATE INDEX schedules_by_due ON schedules (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE schedule_fires (
    id          TEXT PRIMARY KEY, -- made of the schedule and the instant
    schedule_id INTEGER NOT NULL,
    arn         TEXT NOT NULL,
    instant     REAL NOT NULL,
    due_at      REAL NOT NULL,
    target      TEXT NOT NULL,    -- JSON, as it was when the instant came
    attempts    INTEGER NOT NULL DEFAULT 0,
    try_at      REAL NOT NULL
) WITHOUT ROWID;

CREATE INDEX schedule_fires_by_try ON schedule_fires (try_at);
CREATE INDEX schedule_fires_by_schedule ON schedule_fires (schedule_id);

-- ClientTokens of deletes, so that one that is sent again is not told that there is nothing.
CREATE TABLE schedule_tokens (
    region     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    token      TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (region, subject, token)
) WITHOUT ROWID;

CREATE INDEX schedule_tokens_by_age ON schedule_tokens (created_at);
