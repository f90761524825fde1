-- Tokens by which a user proves to a third service who they are.
CREATE TABLE openid_tokens (
    token_hash bytea PRIMARY KEY,
    user_id text NOT NULL,
    expires_ms bigint NOT NULL
);
CREATE INDEX openid_tokens_by_age ON openid_tokens (expires_ms);

-- Whom users find by name. `words` are those of the display name and of the id. `ask_after_ms`: when to ask a remote
-- user's server for the profile; null where it need not be asked.
CREATE TABLE user_directory (
    user_id text PRIMARY KEY,
    is_local bool NOT NULL,
    display_name text,
    avatar_url text,
    words tsvector NOT NULL,
    ask_after_ms bigint
);
CREATE INDEX user_directory_by_word ON user_directory USING gin (words);
CREATE INDEX user_directory_to_ask ON user_directory (ask_after_ms) WHERE ask_after_ms IS NOT NULL;

-- Rooms whose members anybody may find: those that anybody may join or read.
CREATE TABLE user_directory_rooms (
    room_nid int PRIMARY KEY
);

-- The two above say what the stream says up to `position`. While they are made for the first time, `after` is the last
-- user that was taken up.
CREATE TABLE user_directory_progress (
    one bool PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL,
    after text
);
