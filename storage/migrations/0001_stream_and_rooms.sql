-- The one stream, rooms, events and state. Strings are interned once: rooms and state keys have small numbers.

-- The last position given out. Its row lock is the total order: held from taking positions to the commit.
CREATE TABLE stream_head (
    one bool PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL
);
INSERT INTO stream_head (position) VALUES (0);

-- What readers hear beside events: one row for a position. Trimmed: only processes that tail the stream read it;
-- older sync tokens are served from each topic's own table.
CREATE TABLE stream (
    position bigint PRIMARY KEY,
    kind text NOT NULL,
    room_nid int,
    user_id text,
    body text NOT NULL
);

-- Numbers are taken in blocks, before the commit: a change refers to its own events and rooms by them.
CREATE SEQUENCE event_nids INCREMENT BY 256;
CREATE SEQUENCE room_nids INCREMENT BY 16;

CREATE TABLE rooms (
    room_nid int PRIMARY KEY,
    room_id text NOT NULL UNIQUE,
    version text NOT NULL,
    creator text NOT NULL,
    room_type text,
    -- The position of the last event that changed the room: a change names the head it was decided on.
    head bigint NOT NULL DEFAULT 0,
    extremities bigint[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 80);

CREATE TABLE state_keys (
    state_key_nid int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    type text NOT NULL,
    state_key text NOT NULL,
    UNIQUE (type, state_key)
);

CREATE TABLE events (
    event_nid bigint PRIMARY KEY,
    room_nid int NOT NULL,
    -- Position in the stream; negative for history fetched later; null for outliers.
    position bigint,
    depth bigint NOT NULL,
    event_id text NOT NULL UNIQUE,
    type text NOT NULL,
    sender text NOT NULL,
    origin_server_ts bigint NOT NULL,
    state_key_nid int,
    -- 1 rejected, 2 soft-failed, 4 outlier
    flags smallint NOT NULL DEFAULT 0,
    -- The state event that this one replaced on the main line, for unsigned.prev_content.
    replaces bigint,
    redacted_by bigint,
    prev_nids bigint[] NOT NULL,
    auth_nids bigint[] NOT NULL,
    json text NOT NULL
) WITH (fillfactor = 95);
CREATE UNIQUE INDEX events_at_position ON events (position) WHERE position IS NOT NULL;
-- History is paged by depth, sync reads by position.
CREATE INDEX events_by_depth ON events (room_nid, depth, position) WHERE position IS NOT NULL;
CREATE INDEX events_by_position ON events (room_nid, position) WHERE position IS NOT NULL;

-- In which range of positions an event was the room's resolved state for its key: [since, until), open while current.
CREATE TABLE room_state (
    room_nid int NOT NULL,
    state_key_nid int NOT NULL,
    since bigint NOT NULL,
    until bigint,
    event_nid bigint NOT NULL,
    PRIMARY KEY (room_nid, state_key_nid, since)
);
CREATE INDEX room_state_current ON room_state (room_nid, state_key_nid) INCLUDE (event_nid) WHERE until IS NULL;

-- State before an event that is not what the intervals say at its position: a fork, a late arrival.
-- Always against a main-line position, so there is no chain to follow. event_nid 0: the key was absent.
CREATE TABLE event_state (
    event_nid bigint PRIMARY KEY,
    base bigint NOT NULL,
    state_key_nids int[] NOT NULL,
    event_nids bigint[] NOT NULL
);

-- prev_events that we do not have.
CREATE TABLE missing_prev_events (
    room_nid int NOT NULL,
    event_id text NOT NULL,
    referrer_nid bigint NOT NULL,
    PRIMARY KEY (room_nid, event_id, referrer_nid)
);

-- Who is or was in which room: the current m.room.member of each user, found by user.
CREATE TABLE memberships (
    room_nid int NOT NULL,
    user_id text NOT NULL,
    membership text NOT NULL,
    event_nid bigint NOT NULL,
    position bigint NOT NULL,
    forgotten bool NOT NULL DEFAULT false,
    PRIMARY KEY (room_nid, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id, membership);

-- A request repeated with the same transaction id has the first one's answer. Trimmed by age.
CREATE TABLE event_transactions (
    user_id text NOT NULL,
    device text NOT NULL,
    transaction_id text NOT NULL,
    event_nid bigint NOT NULL,
    made_ms bigint NOT NULL,
    PRIMARY KEY (user_id, device, transaction_id)
);
CREATE INDEX event_transactions_by_age ON event_transactions (made_ms);
CREATE INDEX event_transactions_by_event ON event_transactions (event_nid);

-- Events that refer to another by m.relates_to, or a redaction to its target.
CREATE TABLE relations (
    event_nid bigint PRIMARY KEY,
    room_nid int NOT NULL,
    parent_id text NOT NULL,
    rel_type text NOT NULL,
    aggregation_key text,
    type text NOT NULL,
    sender text NOT NULL,
    position bigint NOT NULL,
    depth bigint NOT NULL
);
CREATE INDEX relations_of_parent ON relations (parent_id, rel_type);
CREATE INDEX relations_by_room ON relations (room_nid, rel_type, position);
