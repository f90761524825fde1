-- Other servers: which ones do not answer, and the keys of all.

-- A server that does not answer: not to be asked before `retry_at_ms`. It has no row while it answers.
CREATE TABLE destinations (
    server_name text PRIMARY KEY,
    failing_since_ms bigint NOT NULL,
    retry_at_ms bigint NOT NULL,
    interval_ms bigint NOT NULL
);
CREATE INDEX destinations_by_retry ON destinations (retry_at_ms);

-- A key, old or in use: signatures made until `valid_until_ms` are good. Keys are never deleted: old events need them.
CREATE TABLE server_keys (
    server_name text NOT NULL,
    key_id text NOT NULL,
    verify_key bytea NOT NULL,
    valid_until_ms bigint NOT NULL,
    fetched_ms bigint NOT NULL,
    -- In use no more: good for events, not for requests.
    is_old bool NOT NULL,
    PRIMARY KEY (server_name, key_id)
);

-- The newest that a server has said of its keys, as it signed it: what we tell others as a notary.
CREATE TABLE server_key_answers (
    server_name text PRIMARY KEY,
    answer text NOT NULL,
    valid_until_ms bigint NOT NULL,
    fetched_ms bigint NOT NULL
);
