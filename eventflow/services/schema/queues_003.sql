-- How many messages a queue has, kept by triggers: nobody walks a million of them to count them.
CREATE TABLE queue_totals (
    queue INTEGER PRIMARY KEY REFERENCES queues (id) ON DELETE CASCADE,
    messages INTEGER NOT NULL DEFAULT 0
);

INSERT INTO queue_totals (queue, messages)
SELECT id, (SELECT COUNT(*) FROM queue_messages WHERE queue = queues.id) FROM queues;

CREATE TRIGGER queue_total_begins AFTER INSERT ON queues BEGIN
    INSERT INTO queue_totals (queue) VALUES (NEW.id);
END;

CREATE TRIGGER queue_total_grows AFTER INSERT ON queue_messages BEGIN
    UPDATE queue_totals SET messages = messages + 1 WHERE queue = NEW.queue;
END;

CREATE TRIGGER queue_total_shrinks AFTER DELETE ON queue_messages BEGIN
    UPDATE queue_totals SET messages = messages - 1 WHERE queue = OLD.queue;
END;

-- What is hidden is counted along these two. Receiving walks the first for messages without a group, and one of those below for the others.
-- Each message is in two indexes besides that by age if it has a group, else in one. A column that is always NULL
-- in an index is there for the index's condition: without it SQLite would look it up in the table.
DROP INDEX queue_messages_by_visibility;
CREATE INDEX queue_messages_ungrouped ON queue_messages (queue, group_id, visible_at, receives, sent_at) WHERE group_id IS NULL;
CREATE INDEX queue_messages_grouped ON queue_messages (queue, visible_at, receives, sent_at, group_id) WHERE group_id IS NOT NULL;

-- Messages of FIFO queues, and they alone, have a deduplication id.
DROP INDEX queue_messages_by_group;
CREATE INDEX queue_messages_by_group ON queue_messages (queue, group_id, id) WHERE deduplication_id IS NOT NULL;
CREATE INDEX queue_messages_by_tenant ON queue_messages (queue, deduplication_id, group_id, visible_at, receives, sent_at)
WHERE group_id IS NOT NULL AND deduplication_id IS NULL;

-- A FIFO queue's delay holds for the messages that are there when it is set: it is added where a message or group is looked at, and on disk
-- is the instant without it. ``fresh``: nothing of the group is in flight, and its first message was never received.
UPDATE queue_messages SET visible_at = MIN(visible_at, sent_at) WHERE deduplication_id IS NOT NULL AND receives = 0;
DROP INDEX queue_groups_by_availability;
ALTER TABLE queue_groups ADD COLUMN fresh INTEGER NOT NULL DEFAULT 0;
UPDATE queue_groups SET (available_at, fresh) = (
    SELECT visible_at, 1 FROM queue_messages m WHERE m.queue = queue_groups.queue AND m.group_id = queue_groups.group_id
    AND m.deduplication_id IS NOT NULL ORDER BY m.id LIMIT 1
) WHERE 0 = (
    SELECT receives FROM queue_messages m WHERE m.queue = queue_groups.queue AND m.group_id = queue_groups.group_id
    AND m.deduplication_id IS NOT NULL ORDER BY m.id LIMIT 1
);
CREATE INDEX queue_groups_by_availability ON queue_groups (queue, fresh, available_at);

-- One row for each message group of a standard queue, AWS's tenants of a fair queue: they are served in turn. ``available_at`` is NULL while a message
-- of the group is visible, else when one may be; a row may outlive its messages until then.
CREATE TABLE queue_tenants (
    queue INTEGER NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL,
    available_at INTEGER,
    turn INTEGER NOT NULL,         -- the smallest is served first
    PRIMARY KEY (queue, group_id)
) WITHOUT ROWID;

CREATE INDEX queue_tenants_by_turn ON queue_tenants (queue, available_at, turn);

INSERT INTO queue_tenants (queue, group_id, available_at, turn)
SELECT queue, group_id, MIN(visible_at), 0 FROM queue_messages WHERE group_id IS NOT NULL AND deduplication_id IS NULL GROUP BY queue, group_id;
