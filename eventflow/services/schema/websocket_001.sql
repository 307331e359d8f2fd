-- The connections of WebSocket APIs that are open, or whose $disconnect is not accepted yet.

CREATE TABLE websocket_connections (
    id    TEXT PRIMARY KEY, -- AWS's connectionId
    facts TEXT NOT NULL     -- JSON, as eventflow/gateway/websocket/events.py writes it
) WITHOUT ROWID;
