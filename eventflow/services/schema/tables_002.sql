-- Grows with each change of the definition, so that nobody goes on with an old one.
ALTER TABLE tables ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
