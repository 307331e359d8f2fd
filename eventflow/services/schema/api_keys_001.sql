-- The values of API keys that were made here because the application gave none, and how much of its quota a key has used of a usage plan.
CREATE TABLE api_keys (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    created_at REAL NOT NULL
);

CREATE TABLE api_key_usage (
    plan TEXT NOT NULL,
    api_key TEXT NOT NULL,
    period_start INTEGER NOT NULL,  -- Unix seconds, in UTC the first of a day, a week or a month
    used INTEGER NOT NULL,
    PRIMARY KEY (plan, api_key)
) WITHOUT ROWID;
