-- What a server needs that hears of rooms from others: late, out of order, and never all of it.

-- Redactions that came before what they redact.
CREATE TABLE awaited_redactions (
    target_id text NOT NULL,
    redaction_nid bigint NOT NULL,
    -- The sender had the power to redact events of other servers too.
    may_any bool NOT NULL,
    PRIMARY KEY (target_id, redaction_nid)
);

-- Before the event at this position the room's history is missing a part: a timeline must not span it as if nothing
-- lay between. Stays when the part is fetched later, since that part is told by /messages only.
CREATE TABLE timeline_gaps (
    room_nid int NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (room_nid, position)
);

-- Positions of fetched history are negative, the oldest the lowest.
CREATE SEQUENCE history_positions INCREMENT BY 256;

-- A room that is being taken over from another server: whoever wrote the state last may finish.
CREATE TABLE room_imports (
    room_nid int PRIMARY KEY,
    nonce text NOT NULL
);
