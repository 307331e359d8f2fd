-- Records of failed events that are to become objects in a bucket: written with the event's end, gone when the object is stored.
CREATE TABLE failure_records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    event TEXT NOT NULL            -- the id of the event that failed
);
