-- End-to-end encryption: what devices publish, what they send each other, and their key backups. Keys are kept as text:
-- the server hands on what it was given.

CREATE TABLE device_keys (
    user_id text NOT NULL,
    device_id text NOT NULL,
    json text NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

-- Each is handed out once, oldest first: `nid` is the order of upload.
CREATE TABLE one_time_keys (
    user_id text NOT NULL,
    device_id text NOT NULL,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    nid bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    json text NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm, key_id)
);
CREATE UNIQUE INDEX one_time_keys_in_order ON one_time_keys (user_id, device_id, algorithm, nid);

CREATE TABLE fallback_keys (
    user_id text NOT NULL,
    device_id text NOT NULL,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    json text NOT NULL,
    used bool NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, device_id, algorithm)
);

-- `usage` is master, self_signing or user_signing; `key_id` is "ed25519:" and the public key.
CREATE TABLE cross_signing_keys (
    user_id text NOT NULL,
    usage text NOT NULL,
    key_id text NOT NULL,
    json text NOT NULL,
    PRIMARY KEY (user_id, usage)
);

-- Signatures uploaded after the key they are of. `target` is a device id, or the public key of a master key.
CREATE TABLE key_signatures (
    target_user_id text NOT NULL,
    target text NOT NULL,
    signer_user_id text NOT NULL,
    signer_key_id text NOT NULL,
    signature text NOT NULL,
    PRIMARY KEY (target_user_id, target, signer_user_id, signer_key_id)
);
CREATE INDEX key_signatures_by_signer ON key_signatures (signer_user_id, signer_key_id);

-- When a user's devices or keys last changed. One row for a user, so it needs no trimming: a reader of any age asks
-- who changed since.
CREATE TABLE device_list_changes (
    user_id text PRIMARY KEY,
    position bigint NOT NULL
);
CREATE INDEX device_list_changes_by_position ON device_list_changes (position);

-- The same for what only `reader_id` may see of `user_id`: signatures by the reader's user-signing key, and that key.
CREATE TABLE signature_changes (
    reader_id text NOT NULL,
    user_id text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (reader_id, user_id)
);

-- Messages waiting for a device, each at its own position of the stream. Deleted when the device has synced past them.
CREATE TABLE to_device (
    user_id text NOT NULL,
    device_id text NOT NULL,
    position bigint NOT NULL,
    json text NOT NULL,
    PRIMARY KEY (user_id, device_id, position)
);

-- Requests to send that were answered already. `sender` is a user or another server. Trimmed by age.
CREATE TABLE to_device_transactions (
    sender text NOT NULL,
    device text NOT NULL,
    transaction_id text NOT NULL,
    made_ms bigint NOT NULL,
    PRIMARY KEY (sender, device, transaction_id)
);
CREATE INDEX to_device_transactions_by_age ON to_device_transactions (made_ms);

-- Deleted versions stay, empty: their numbers are not given again.
CREATE TABLE key_backups (
    user_id text NOT NULL,
    version int NOT NULL,
    algorithm text NOT NULL,
    auth_data text NOT NULL,
    etag bigint NOT NULL DEFAULT 0,
    count int NOT NULL DEFAULT 0,
    deleted bool NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, version)
);

-- `json` is the whole KeyBackupData; the three columns before it say which of two keys is kept.
CREATE TABLE key_backup_sessions (
    user_id text NOT NULL,
    version int NOT NULL,
    room_id text NOT NULL,
    session_id text NOT NULL,
    is_verified bool NOT NULL,
    first_message_index bigint NOT NULL,
    forwarded_count bigint NOT NULL,
    json text NOT NULL,
    PRIMARY KEY (user_id, version, room_id, session_id)
);

-- MSC3814: the one device of a user that no client runs, which collects messages until the next login.
CREATE TABLE dehydrated_devices (
    user_id text PRIMARY KEY,
    device_id text NOT NULL,
    device_data text NOT NULL
);
