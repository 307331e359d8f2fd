-- Functions that were made by API: their versions, aliases and settings, and layers. Instants are Unix seconds; a content is the hexadecimal SHA-256
-- of an archive, whose unpacked files lie below functions/ in the state directory.

CREATE TABLE functions (
    name                 TEXT PRIMARY KEY,
    reserved_concurrency INTEGER,       -- NULL: it shares what the account has
    recursive_loop       TEXT NOT NULL, -- Terminate or Allow
    tags                 TEXT NOT NULL  -- a JSON object
) WITHOUT ROWID;

CREATE TABLE function_versions (
    function      TEXT NOT NULL REFERENCES functions ON DELETE CASCADE,
    number        INTEGER NOT NULL, -- 0 is $LATEST
    settings      TEXT NOT NULL,    -- JSON, as eventflow/services/functions/records.py writes it
    content       TEXT NOT NULL,
    size          INTEGER NOT NULL,
    unzipped      INTEGER NOT NULL,
    revision      TEXT NOT NULL,
    modified_at   REAL NOT NULL,
    described     TEXT,             -- of a published version: the description that $LATEST had then
    PRIMARY KEY (function, number)
) WITHOUT ROWID;

CREATE INDEX function_versions_by_content ON function_versions (content);

-- The layers that a version uses, which stay as they were when the layer's version is deleted.
CREATE TABLE function_layers (
    function TEXT NOT NULL,
    number   INTEGER NOT NULL,
    place    INTEGER NOT NULL,
    arn      TEXT NOT NULL,
    content  TEXT NOT NULL,
    size     INTEGER NOT NULL,
    unzipped INTEGER NOT NULL,
    PRIMARY KEY (function, number, place),
    FOREIGN KEY (function, number) REFERENCES function_versions ON DELETE CASCADE
) WITHOUT ROWID;

CREATE INDEX function_layers_by_content ON function_layers (content);

CREATE TABLE function_aliases (
    function    TEXT NOT NULL REFERENCES functions ON DELETE CASCADE,
    name        TEXT NOT NULL,
    number      INTEGER NOT NULL, -- 0 is $LATEST
    description TEXT NOT NULL,
    other       INTEGER,          -- the version that gets a part of the invocations
    weight      REAL,             -- and how large that part is, from 0 to 1
    revision    TEXT NOT NULL,
    PRIMARY KEY (function, name)
) WITHOUT ROWID;

-- What becomes of asynchronous events; NULL is what was not set.
CREATE TABLE function_event_settings (
    function    TEXT NOT NULL,
    number      INTEGER NOT NULL,
    retries     INTEGER,
    maximum_age INTEGER,
    on_success  TEXT,
    on_failure  TEXT,
    modified_at REAL NOT NULL,
    PRIMARY KEY (function, number),
    FOREIGN KEY (function, number) REFERENCES function_versions ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE function_urls (
    function    TEXT NOT NULL REFERENCES functions ON DELETE CASCADE,
    qualifier   TEXT NOT NULL, -- an alias; '' is $LATEST
    id          TEXT NOT NULL UNIQUE,
    auth        TEXT NOT NULL,
    mode        TEXT NOT NULL,
    cors        TEXT,          -- JSON
    created_at  REAL NOT NULL,
    modified_at REAL NOT NULL,
    PRIMARY KEY (function, qualifier)
) WITHOUT ROWID;

CREATE TABLE layer_versions (
    layer         TEXT NOT NULL,
    number        INTEGER NOT NULL,
    description   TEXT NOT NULL,
    license       TEXT NOT NULL,
    runtimes      TEXT NOT NULL, -- a JSON list
    architectures TEXT NOT NULL, -- a JSON list
    content       TEXT NOT NULL,
    size          INTEGER NOT NULL,
    unzipped      INTEGER NOT NULL,
    created_at    REAL NOT NULL,
    PRIMARY KEY (layer, number)
) WITHOUT ROWID;

CREATE INDEX layer_versions_by_content ON layer_versions (content);

-- The highest number that was ever given to a version: none is given twice, even where the function or layer is deleted and made again.
CREATE TABLE function_numbers (
    kind   TEXT NOT NULL, -- function or layer
    name   TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
