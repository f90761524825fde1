-- Devices and keys of users of other servers who share a room with one of ours, and what other servers were told of ours.

-- One row for each user whose list is kept. While it is `stale` nothing of it may be given out: it has to be fetched.
-- `stream_id` is the version that the user's server gave the list when it was fetched, `update_id` that of the last
-- update which the list contains, or will contain when it has been fetched. `version` grows whenever the server tells
-- something, so that an answer that was under way meanwhile is known to be old.
CREATE TABLE remote_device_lists (
    user_id text PRIMARY KEY,
    stream_id bigint,
    update_id bigint,
    stale boolean NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    master text,
    self_signing text,
    failures int NOT NULL DEFAULT 0,
    retry_ms bigint NOT NULL DEFAULT 0
);
CREATE INDEX remote_device_lists_to_fetch ON remote_device_lists (retry_ms) WHERE stale;

CREATE TABLE remote_devices (
    user_id text NOT NULL,
    device_id text NOT NULL,
    json text NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

-- The last m.device_list_update that was queued of each of our users: the next one points to it.
CREATE TABLE device_list_updates (
    user_id text PRIMARY KEY,
    stream_id bigint NOT NULL
);

-- How far those have read the stream who must miss nothing, not even while no process runs.
CREATE TABLE stream_readers (
    name text PRIMARY KEY,
    position bigint NOT NULL
);
