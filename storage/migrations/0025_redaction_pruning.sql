-- How far the stream was at some times: what was redacted before the newest of them that is old enough is pruned for good.
CREATE TABLE redaction_marks (
    made_ms bigint PRIMARY KEY,
    position bigint NOT NULL
);
-- Up to where that has been done.
CREATE TABLE redaction_pruning (
    one bool PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL
);
INSERT INTO redaction_pruning (position) VALUES (0);
