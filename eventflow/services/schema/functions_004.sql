-- Functions and versions (the dispatcher's keys of them) that were deleted, and whose asynchronous events are not all dropped yet.
CREATE TABLE function_drops (
    key TEXT PRIMARY KEY
) WITHOUT ROWID;
