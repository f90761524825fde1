-- Accounts: users, their sessions and devices, and what users keep on the server. Tokens are stored as SHA-256 hashes.

CREATE TABLE users (
    user_id text PRIMARY KEY,
    -- argon2id, or bcrypt where it comes from Synapse; null: no password opens this account.
    password_hash text,
    created_ms bigint NOT NULL,
    is_admin bool NOT NULL DEFAULT false,
    is_guest bool NOT NULL DEFAULT false,
    is_deactivated bool NOT NULL DEFAULT false,
    is_erased bool NOT NULL DEFAULT false,
    is_locked bool NOT NULL DEFAULT false,
    is_suspended bool NOT NULL DEFAULT false,
    is_shadow_banned bool NOT NULL DEFAULT false,
    appservice_id text,
    -- Synapse's: bot, support, ...
    user_type text
);

-- Localparts of guests and of accounts that name none.
CREATE SEQUENCE numbered_localparts;

-- Deactivated users whose rooms are not all left yet.
CREATE TABLE users_leaving (
    user_id text PRIMARY KEY
);

CREATE TABLE devices (
    user_id text NOT NULL,
    device_id text NOT NULL,
    display_name text,
    created_ms bigint NOT NULL,
    last_seen_ms bigint,
    last_seen_ip text,
    last_seen_user_agent text,
    PRIMARY KEY (user_id, device_id)
) WITH (fillfactor = 80);

CREATE TABLE access_tokens (
    token_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    token_hash bytea NOT NULL UNIQUE,
    user_id text NOT NULL,
    device_id text,
    created_ms bigint NOT NULL,
    expires_ms bigint,
    -- The refresh token that was given out together with it.
    refresh_hash bytea,
    -- False until its first use after a refresh: until then the refresh may be repeated.
    used bool NOT NULL DEFAULT true,
    -- When the user last proved who they are, for ui_auth.session_timeout.
    validated_ms bigint,
    -- The admin who logged in as the user.
    made_by text
);
CREATE INDEX access_tokens_by_user ON access_tokens (user_id, device_id);
CREATE INDEX access_tokens_by_refresh ON access_tokens (refresh_hash) WHERE refresh_hash IS NOT NULL;

CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    user_id text NOT NULL,
    device_id text NOT NULL,
    -- What it was exchanged for.
    next_hash bytea,
    expires_ms bigint,
    -- The end of the whole session, however often it is refreshed.
    ends_ms bigint
);
CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id, device_id);
CREATE INDEX refresh_tokens_by_next ON refresh_tokens (next_hash) WHERE next_hash IS NOT NULL;

-- m.login.token: each logs in once.
CREATE TABLE login_tokens (
    token_hash bytea PRIMARY KEY,
    user_id text NOT NULL,
    expires_ms bigint NOT NULL
);
CREATE INDEX login_tokens_by_age ON login_tokens (expires_ms);

-- User-interactive authentication in progress. Trimmed by age.
CREATE TABLE ui_auth_sessions (
    session_id text PRIMARY KEY,
    created_ms bigint NOT NULL,
    -- Method and path that the session was begun for.
    operation text NOT NULL,
    -- JSON: the completed stages in their order, each with its result.
    completed text NOT NULL
);
CREATE INDEX ui_auth_sessions_by_age ON ui_auth_sessions (created_ms);

CREATE TABLE registration_tokens (
    token text PRIMARY KEY,
    -- Null: any number.
    uses_allowed int,
    -- Accounts being registered with it, and those that were.
    pending int NOT NULL DEFAULT 0,
    completed int NOT NULL DEFAULT 0,
    expires_ms bigint
);

-- The link that makes the first account, while there is none.
CREATE TABLE setup_token (
    one bool PRIMARY KEY DEFAULT true CHECK (one),
    token text NOT NULL
);

CREATE TABLE profiles (
    user_id text PRIMARY KEY,
    displayname text,
    avatar_url text,
    -- JSON object of all other fields.
    fields text NOT NULL DEFAULT '{}'
);

-- Account data, tags (the m.tag of a room) and read markers included. room_id is '' for the global ones.
CREATE TABLE account_data (
    user_id text NOT NULL,
    room_id text NOT NULL,
    type text NOT NULL,
    content text NOT NULL,
    position bigint NOT NULL,
    -- Deleted ones stay, empty, for readers who have them.
    deleted bool NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, room_id, type)
) WITH (fillfactor = 80);
CREATE INDEX account_data_by_position ON account_data (user_id, position);

-- Filters never change: the same one again has the same number.
CREATE TABLE filters (
    filter_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    user_id text NOT NULL,
    hash bytea NOT NULL,
    json text NOT NULL,
    UNIQUE (user_id, hash)
);
