-- Multipart uploads that were completed a short while ago: who did not hear the answer asks again, and is told the same.
-- answer is JSON: etag, checksum ([algorithm, value, kind] or null), version (or null).
CREATE TABLE completed_uploads (
    id TEXT NOT NULL PRIMARY KEY,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    answer TEXT NOT NULL,
    completed_at REAL NOT NULL
) WITHOUT ROWID;

CREATE INDEX completed_uploads_age ON completed_uploads (completed_at);
