-- Bodies of small objects whose files have their names and were not synced yet. At a start after a power cut the files are made good from them.
-- state is the file's (size:mtime_ns:inode), standing that of the file it replaced; temporary is what it was called before it had its name. boot is
-- the run of the machine in which it was written, NULL where that is not known: in the same run the kernel still has every write, synced or not.
CREATE TABLE pending_bodies (
    id INTEGER NOT NULL PRIMARY KEY,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    standing TEXT,
    sequencer TEXT NOT NULL,
    temporary TEXT NOT NULL,
    boot TEXT,
    body BLOB NOT NULL
);
