-- How many environments of a version are kept warm; the qualifier is a version's number or an alias.
CREATE TABLE function_provisioned (
    function    TEXT NOT NULL REFERENCES functions ON DELETE CASCADE,
    qualifier   TEXT NOT NULL,
    wanted      INTEGER NOT NULL,
    modified_at REAL NOT NULL,
    PRIMARY KEY (function, qualifier)
) WITHOUT ROWID;

CREATE TRIGGER provisioned_version_deleted AFTER DELETE ON function_versions BEGIN
    DELETE FROM function_provisioned WHERE function = OLD.function AND qualifier = CAST(OLD.number AS TEXT);
END;

CREATE TRIGGER provisioned_alias_deleted AFTER DELETE ON function_aliases BEGIN
    DELETE FROM function_provisioned WHERE function = OLD.function AND qualifier = OLD.name;
END;
