-- Pushers: where notifications of a user go. Up to `position` everything was sent. Gone with the device that set it, or
-- with the access token if that belongs to no device.
CREATE TABLE pushers (
    pusher_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    user_id text NOT NULL,
    app_id text NOT NULL,
    pushkey text NOT NULL,
    kind text NOT NULL,
    device_id text,
    token_id bigint REFERENCES access_tokens ON DELETE CASCADE,
    app_display_name text NOT NULL,
    device_display_name text NOT NULL,
    profile_tag text,
    lang text NOT NULL,
    data text NOT NULL,
    enabled bool NOT NULL,
    set_ms bigint NOT NULL,
    shard smallint NOT NULL,
    position bigint NOT NULL,
    UNIQUE (user_id, app_id, pushkey)
);
CREATE INDEX pushers_by_key ON pushers (app_id, pushkey);
CREATE INDEX pushers_by_shard ON pushers (shard);
CREATE INDEX pushers_by_token ON pushers (token_id) WHERE token_id IS NOT NULL;
