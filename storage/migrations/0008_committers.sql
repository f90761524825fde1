-- The number of the last transaction that each process has committed: tells, after a lost connection, what became of
-- the one that was under way. Rows of processes that are gone are deleted after a day.
CREATE TABLE committers (
    instance text PRIMARY KEY,
    number bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- What changed in a room between two positions.
CREATE INDEX room_state_since ON room_state (room_nid, since);
