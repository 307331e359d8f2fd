-- Instants are whole milliseconds since 1970, as in CloudWatch Logs.
CREATE TABLE log_groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    retention_days INTEGER,        -- for ever where it is NULL
    created_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (region, name)
);

CREATE TABLE log_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    log_group INTEGER NOT NULL REFERENCES log_groups (id) ON DELETE CASCADE,
    stream TEXT NOT NULL,
    time INTEGER NOT NULL,
    ingested_at INTEGER NOT NULL,
    message TEXT NOT NULL
);

CREATE INDEX log_events_by_time ON log_events (log_group, time, id);
CREATE INDEX log_events_by_stream ON log_events (log_group, stream, time, id);
