-- Receipts, presence, push rules and pushers.

-- The newest receipt of a kind of a user in a room. thread_id: '' unthreaded, 'main', or a thread root's event id.
CREATE TABLE receipts (
    room_nid int NOT NULL,
    user_id text NOT NULL,
    receipt_type text NOT NULL,
    thread_id text NOT NULL,
    event_id text NOT NULL,
    -- The receipted event's own position, for counting what came after it; 0 if we do not have the event.
    event_position bigint NOT NULL,
    ts bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (room_nid, user_id, receipt_type, thread_id)
);
CREATE INDEX receipts_by_position ON receipts (room_nid, position);
CREATE INDEX receipts_by_user ON receipts (user_id);

CREATE TABLE presence (
    user_id text PRIMARY KEY,
    presence text NOT NULL,
    status_msg text,
    last_active_ms bigint NOT NULL,
    position bigint NOT NULL
);

-- A user's push rules: own rules in order, and what differs from the defaults, as one small JSON.
CREATE TABLE push_rules (
    user_id text PRIMARY KEY,
    rules text NOT NULL,
    position bigint NOT NULL
);
