-- Event source mappings that were made by API. How far one has come with a stream is in the journal's cursors, under its uuid.

CREATE TABLE mappings (
    uuid        TEXT PRIMARY KEY,
    function    TEXT NOT NULL,
    qualifier   TEXT NOT NULL,    -- '' where the function was named without one
    source      TEXT NOT NULL,    -- ARN of the queue or stream
    settings    TEXT NOT NULL,    -- JSON object of Lambda's parameters, complete
    tags        TEXT NOT NULL,    -- JSON object
    enabled     INTEGER NOT NULL,
    state       TEXT NOT NULL,    -- Lambda's: Creating, Enabled, ...
    modified_at REAL NOT NULL,    -- Unix seconds
    result      TEXT,             -- LastProcessingResult
    UNIQUE (source, function, qualifier)
) WITHOUT ROWID;
