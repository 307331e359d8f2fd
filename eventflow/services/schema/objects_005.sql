-- The state (size:mtime_ns:inode) of the file that an upload is about to become: once the key's file is in it, the upload is completed.
ALTER TABLE uploads ADD COLUMN completing TEXT;
CREATE INDEX uploads_completing ON uploads (bucket) WHERE completing IS NOT NULL;
