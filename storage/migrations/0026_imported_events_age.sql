-- When an id was chosen, so that those of long ago can go.
ALTER TABLE imported_events ADD COLUMN claimed_ms bigint NOT NULL DEFAULT (extract(epoch FROM now()) * 1000)::bigint;
CREATE INDEX imported_events_by_age ON imported_events (claimed_ms);
