-- What becomes of asynchronous events, for each qualifier they came by: $LATEST, a version's number or an alias. NULL is what was not set.
CREATE TABLE function_event_configs (
    function    TEXT NOT NULL REFERENCES functions ON DELETE CASCADE,
    qualifier   TEXT NOT NULL,
    retries     INTEGER,
    maximum_age INTEGER,
    on_success  TEXT,
    on_failure  TEXT,
    modified_at REAL NOT NULL,
    PRIMARY KEY (function, qualifier)
) WITHOUT ROWID;

INSERT INTO function_event_configs
SELECT function, iif(number = 0, '$LATEST', CAST(number AS TEXT)), retries, maximum_age, on_success, on_failure, modified_at
FROM function_event_settings;

DROP TABLE function_event_settings;

CREATE TRIGGER event_config_version_deleted AFTER DELETE ON function_versions BEGIN
    DELETE FROM function_event_configs WHERE function = OLD.function AND qualifier = CAST(OLD.number AS TEXT);
END;

CREATE TRIGGER event_config_alias_deleted AFTER DELETE ON function_aliases BEGIN
    DELETE FROM function_event_configs WHERE function = OLD.function AND qualifier = OLD.name;
END;
