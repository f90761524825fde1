-- Addresses of users: e-mail addresses with which they log in and get back a lost password.
CREATE TABLE threepids (
    medium text NOT NULL,
    address text NOT NULL,
    user_id text NOT NULL,
    validated_ms bigint NOT NULL,
    added_ms bigint NOT NULL,
    PRIMARY KEY (medium, address)
);
CREATE INDEX threepids_of_user ON threepids (user_id);

-- Checks whether an address is the user's, by a token in a mail. `purpose`: add, register or password.
CREATE TABLE threepid_checks (
    sid text PRIMARY KEY,
    purpose text NOT NULL,
    medium text NOT NULL,
    address text NOT NULL,
    client_secret text NOT NULL,
    token_hash bytea NOT NULL,
    next_link text,
    send_attempt bigint NOT NULL,
    made_ms bigint NOT NULL,
    validated_ms bigint
);
CREATE INDEX threepid_checks_by_secret ON threepid_checks (client_secret, address, purpose);
CREATE INDEX threepid_checks_by_age ON threepid_checks (made_ms);

-- Where addresses of users were published through this server, so that it can be undone.
CREATE TABLE threepid_binds (
    user_id text NOT NULL,
    medium text NOT NULL,
    address text NOT NULL,
    id_server text NOT NULL,
    PRIMARY KEY (user_id, medium, address, id_server)
);
