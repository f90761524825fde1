-- What the files of storage/migrations make, all together: for reading. Written by scripts/dump-schema.
-- A test compares it with what the migrations make today.

CREATE FUNCTION count_room_server(room integer, name text, delta integer, at bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE room_servers SET members = members + delta, until = CASE WHEN members + delta <= 0 THEN greatest(at, since) END
        WHERE room_nid = room AND server = name AND until IS NULL;
    IF NOT FOUND AND delta > 0 THEN
        INSERT INTO room_servers (room_nid, server, since, members) VALUES (room, name, at, delta)
            ON CONFLICT (room_nid, server, since) DO UPDATE SET until = NULL, members = excluded.members;
    END IF;
END $$;

CREATE FUNCTION follow_memberships() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM count_room_server(room_nid, server, delta, at) FROM (
            SELECT room_nid, server_of(user_id) AS server, count(*)::int AS delta, min(position) AS at
            FROM new_rows WHERE membership = 'join' GROUP BY 1, 2) moved;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM count_room_server(room_nid, server, delta, at) FROM (
            SELECT room_nid, server_of(user_id) AS server, -count(*)::int AS delta, max(position) AS at
            FROM old_rows WHERE membership = 'join' GROUP BY 1, 2) moved;
    ELSE
        PERFORM count_room_server(room_nid, server, delta, at) FROM (
            SELECT room_nid, server_of(user_id) AS server, sum(step)::int AS delta,
                CASE WHEN sum(step) > 0 THEN min(position) FILTER (WHERE step > 0)
                    ELSE max(position) FILTER (WHERE step < 0) END AS at
            FROM (SELECT n.room_nid, n.user_id, n.position, CASE n.membership WHEN 'join' THEN 1 ELSE -1 END AS step
                FROM new_rows n JOIN old_rows o USING (room_nid, user_id)
                WHERE (n.membership = 'join') <> (o.membership = 'join')) steps
            GROUP BY 1, 2 HAVING sum(step) <> 0) moved;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION server_of(user_id text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN substr(user_id, (strpos(user_id, ':'::text) + 1));

CREATE TABLE access_tokens (
    token_id bigint NOT NULL,
    token_hash bytea NOT NULL,
    user_id text NOT NULL,
    device_id text,
    created_ms bigint NOT NULL,
    expires_ms bigint,
    refresh_hash bytea,
    used boolean DEFAULT true NOT NULL,
    validated_ms bigint,
    made_by text
);

ALTER TABLE access_tokens ALTER COLUMN token_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME access_tokens_token_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE account_data (
    user_id text NOT NULL,
    room_id text NOT NULL,
    type text NOT NULL,
    content text NOT NULL,
    "position" bigint NOT NULL,
    deleted boolean DEFAULT false NOT NULL
)
WITH (fillfactor='80');

CREATE TABLE appservice_queues (
    id text NOT NULL,
    "position" bigint NOT NULL,
    transaction_id bigint NOT NULL,
    upto bigint,
    body text,
    made_ms bigint,
    failures integer DEFAULT 0 NOT NULL,
    failing_since_ms bigint,
    retry_at_ms bigint,
    fault text
)
WITH (fillfactor='50');

CREATE TABLE appservices (
    id text NOT NULL,
    registration text NOT NULL,
    added_ms bigint NOT NULL
);

CREATE TABLE awaited_redactions (
    target_id text NOT NULL,
    redaction_nid bigint NOT NULL,
    may_any boolean NOT NULL
);

CREATE TABLE bridge_changes (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    message_id text NOT NULL,
    what text NOT NULL,
    count integer NOT NULL
);

CREATE TABLE bridge_copies (
    bridge text NOT NULL,
    file_id text NOT NULL,
    mxc text NOT NULL,
    info text NOT NULL
);

CREATE TABLE bridge_emoji (
    bridge text NOT NULL,
    emoji_id text NOT NULL,
    name text NOT NULL,
    mxc text NOT NULL
);

CREATE TABLE bridge_inbox (
    bridge text NOT NULL,
    seq bigint NOT NULL,
    queue text NOT NULL,
    source smallint NOT NULL,
    payload text NOT NULL,
    accepted_ms bigint NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    begun_ms bigint
);

CREATE SEQUENCE bridge_inbox_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE bridge_inbox_seq_seq OWNED BY bridge_inbox.seq;

CREATE TABLE bridge_logins (
    bridge text NOT NULL,
    login_id text NOT NULL,
    user_id text NOT NULL,
    person_id text NOT NULL,
    name text NOT NULL,
    credentials text NOT NULL,
    lost text
);

CREATE TABLE bridge_management_rooms (
    bridge text NOT NULL,
    room_id text NOT NULL,
    user_id text NOT NULL
);

CREATE TABLE bridge_marks (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    message_id text NOT NULL,
    sent_ms bigint NOT NULL,
    since_ms bigint NOT NULL,
    missed integer DEFAULT 0 NOT NULL
);

CREATE TABLE bridge_memory (
    bridge text NOT NULL,
    key text NOT NULL,
    value text NOT NULL
);

CREATE TABLE bridge_messages (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    message_id text NOT NULL,
    part_id text NOT NULL,
    event_id text NOT NULL,
    user_id text NOT NULL,
    person_id text,
    is_ours boolean NOT NULL,
    login_id text,
    thread_id text,
    version text NOT NULL,
    sent_ms bigint NOT NULL,
    seq bigint NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL,
    memo text NOT NULL,
    actions text
);

CREATE SEQUENCE bridge_messages_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE bridge_messages_seq_seq OWNED BY bridge_messages.seq;

CREATE TABLE bridge_people (
    bridge text NOT NULL,
    person_id text NOT NULL,
    user_id text NOT NULL,
    name text NOT NULL,
    avatar_id text,
    avatar_mxc text,
    is_bot boolean NOT NULL
);

CREATE TABLE bridge_portals (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    room_id text NOT NULL,
    kind text NOT NULL,
    space_id text,
    is_made boolean NOT NULL,
    shown text NOT NULL
);

CREATE TABLE bridge_reactions (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    message_id text NOT NULL,
    user_id text NOT NULL,
    emoji_id text NOT NULL,
    event_id text NOT NULL,
    is_relayed boolean NOT NULL
);

CREATE TABLE bridge_spaces (
    bridge text NOT NULL,
    space_id text NOT NULL,
    room_id text NOT NULL,
    shown text NOT NULL
);

CREATE TABLE bridge_taken (
    bridge text NOT NULL,
    key text NOT NULL,
    at_ms bigint NOT NULL
);

CREATE TABLE bridge_threads (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    thread_id text NOT NULL,
    root_message_id text,
    root_event_id text NOT NULL
);

CREATE TABLE bridge_votes (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    message_id text NOT NULL,
    voter text NOT NULL,
    answers text NOT NULL
);

CREATE TABLE committers (
    instance text NOT NULL,
    number bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE cross_signing_keys (
    user_id text NOT NULL,
    usage text NOT NULL,
    key_id text NOT NULL,
    "json" text NOT NULL
);

CREATE TABLE dehydrated_devices (
    user_id text NOT NULL,
    device_id text NOT NULL,
    device_data text NOT NULL
);

CREATE TABLE destinations (
    server_name text NOT NULL,
    failing_since_ms bigint NOT NULL,
    retry_at_ms bigint NOT NULL,
    interval_ms bigint NOT NULL
);

CREATE TABLE device_keys (
    user_id text NOT NULL,
    device_id text NOT NULL,
    "json" text NOT NULL
);

CREATE TABLE device_list_changes (
    user_id text NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE device_list_updates (
    user_id text NOT NULL,
    stream_id bigint NOT NULL
);

CREATE TABLE devices (
    user_id text NOT NULL,
    device_id text NOT NULL,
    display_name text,
    created_ms bigint NOT NULL,
    last_seen_ms bigint,
    last_seen_ip text,
    last_seen_user_agent text
)
WITH (fillfactor='80');

CREATE SEQUENCE event_nids
    START WITH 1
    INCREMENT BY 256
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE event_state (
    event_nid bigint NOT NULL,
    base bigint NOT NULL,
    state_key_nids integer[] NOT NULL,
    event_nids bigint[] NOT NULL
);

CREATE TABLE event_transactions (
    user_id text NOT NULL,
    device text NOT NULL,
    transaction_id text NOT NULL,
    event_nid bigint NOT NULL,
    made_ms bigint NOT NULL,
    scope text DEFAULT ''::text NOT NULL
);

CREATE TABLE event_words (
    "position" bigint NOT NULL,
    words tsvector NOT NULL
);

CREATE TABLE event_words_progress (
    one boolean DEFAULT true NOT NULL,
    newest bigint NOT NULL,
    oldest bigint NOT NULL,
    CONSTRAINT event_words_progress_one_check CHECK (one)
);

CREATE TABLE events (
    event_nid bigint NOT NULL,
    room_nid integer NOT NULL,
    "position" bigint,
    depth bigint NOT NULL,
    event_id text NOT NULL,
    type text NOT NULL,
    sender text NOT NULL,
    origin_server_ts bigint NOT NULL,
    state_key_nid integer,
    flags smallint DEFAULT 0 NOT NULL,
    replaces bigint,
    redacted_by bigint,
    prev_nids bigint[] NOT NULL,
    auth_nids bigint[] NOT NULL,
    "json" text NOT NULL
)
WITH (fillfactor='95');

CREATE TABLE fallback_keys (
    user_id text NOT NULL,
    device_id text NOT NULL,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    "json" text NOT NULL,
    used boolean DEFAULT false NOT NULL
);

CREATE TABLE federation_aside (
    destination text NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE federation_behind (
    destination text NOT NULL,
    shard smallint NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE federation_broadcasts (
    user_id text NOT NULL,
    key text NOT NULL,
    "position" bigint NOT NULL,
    edu_type text NOT NULL,
    content text NOT NULL
);

CREATE TABLE federation_edus (
    destination text NOT NULL,
    key text NOT NULL,
    "position" bigint NOT NULL,
    edu_type text NOT NULL,
    content text NOT NULL
);

CREATE TABLE federation_passed_on (
    room_nid integer NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE federation_received (
    origin text NOT NULL,
    transaction_id text NOT NULL,
    answer text NOT NULL,
    received_ms bigint NOT NULL
);

CREATE TABLE federation_shards (
    shard smallint NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE filters (
    filter_id bigint NOT NULL,
    user_id text NOT NULL,
    hash bytea NOT NULL,
    "json" text NOT NULL
);

ALTER TABLE filters ALTER COLUMN filter_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME filters_filter_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE SEQUENCE history_positions
    START WITH 1
    INCREMENT BY 256
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE imported_events (
    room_nid integer NOT NULL,
    claimed_id text NOT NULL,
    event_id text NOT NULL,
    appservice_id text NOT NULL,
    "position" bigint,
    claimed_ms bigint DEFAULT ((EXTRACT(epoch FROM now()) * (1000)::numeric))::bigint NOT NULL
);

CREATE TABLE key_backup_sessions (
    user_id text NOT NULL,
    version integer NOT NULL,
    room_id text NOT NULL,
    session_id text NOT NULL,
    is_verified boolean NOT NULL,
    first_message_index bigint NOT NULL,
    forwarded_count bigint NOT NULL,
    "json" text NOT NULL
);

CREATE TABLE key_backups (
    user_id text NOT NULL,
    version integer NOT NULL,
    algorithm text NOT NULL,
    auth_data text NOT NULL,
    etag bigint DEFAULT 0 NOT NULL,
    count integer DEFAULT 0 NOT NULL,
    deleted boolean DEFAULT false NOT NULL
);

CREATE TABLE key_signatures (
    target_user_id text NOT NULL,
    target text NOT NULL,
    signer_user_id text NOT NULL,
    signer_key_id text NOT NULL,
    signature text NOT NULL
);

CREATE TABLE listeners (
    pid integer NOT NULL,
    instance text NOT NULL
);

CREATE TABLE login_tokens (
    token_hash bytea NOT NULL,
    user_id text NOT NULL,
    expires_ms bigint NOT NULL
);

CREATE TABLE mail_throttles (
    pusher_id bigint NOT NULL,
    room_nid integer NOT NULL,
    sent_ms bigint NOT NULL,
    throttle_ms bigint NOT NULL,
    event_ms bigint NOT NULL
);

CREATE TABLE media (
    origin text NOT NULL,
    media_id text NOT NULL,
    file_nid bigint,
    uploader text,
    content_type text DEFAULT 'application/octet-stream'::text NOT NULL,
    file_name text,
    created_ms bigint NOT NULL,
    expires_ms bigint,
    last_access_ms bigint,
    authenticated boolean NOT NULL,
    protected boolean DEFAULT false NOT NULL,
    of_preview boolean DEFAULT false NOT NULL
);

CREATE TABLE media_files (
    file_nid bigint NOT NULL,
    sha256 bytea NOT NULL,
    name text NOT NULL,
    length bigint NOT NULL
);

ALTER TABLE media_files ALTER COLUMN file_nid ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME media_files_file_nid_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE media_quarantine (
    sha256 bytea NOT NULL,
    quarantined_by text NOT NULL,
    at_ms bigint NOT NULL
);

CREATE TABLE media_thumbnails (
    file_nid bigint NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    method text NOT NULL,
    animated boolean NOT NULL,
    content_type text NOT NULL,
    length integer NOT NULL,
    name text NOT NULL,
    last_access_ms bigint NOT NULL
);

CREATE TABLE memberships (
    room_nid integer NOT NULL,
    user_id text NOT NULL,
    membership text NOT NULL,
    event_nid bigint NOT NULL,
    "position" bigint NOT NULL,
    forgotten boolean DEFAULT false NOT NULL
);

CREATE TABLE migrations (
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE missing_prev_events (
    room_nid integer NOT NULL,
    event_id text NOT NULL,
    referrer_nid bigint NOT NULL
);

CREATE SEQUENCE numbered_localparts
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE one_time_keys (
    user_id text NOT NULL,
    device_id text NOT NULL,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    nid bigint NOT NULL,
    "json" text NOT NULL
);

ALTER TABLE one_time_keys ALTER COLUMN nid ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME one_time_keys_nid_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE openid_tokens (
    token_hash bytea NOT NULL,
    user_id text NOT NULL,
    expires_ms bigint NOT NULL
);

CREATE TABLE out_of_band (
    event_nid bigint NOT NULL,
    room_nid integer NOT NULL,
    version text NOT NULL,
    event_id text NOT NULL,
    "json" text NOT NULL,
    replaces bigint,
    server text NOT NULL,
    room_state text NOT NULL
);

CREATE TABLE partial_rooms (
    room_nid integer NOT NULL,
    join_nid bigint NOT NULL,
    base bigint NOT NULL,
    servers text[] NOT NULL,
    completed bigint
);

CREATE TABLE presence (
    user_id text NOT NULL,
    presence text NOT NULL,
    status_msg text,
    last_active_ms bigint NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE profiles (
    user_id text NOT NULL,
    displayname text,
    avatar_url text,
    fields text DEFAULT '{}'::text NOT NULL
);

CREATE TABLE published_rooms (
    room_nid integer NOT NULL,
    appservice_id text DEFAULT ''::text NOT NULL,
    network_id text DEFAULT ''::text NOT NULL
);

CREATE TABLE push_rules (
    user_id text NOT NULL,
    rules text NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE pushers (
    pusher_id bigint NOT NULL,
    user_id text NOT NULL,
    app_id text NOT NULL,
    pushkey text NOT NULL,
    kind text NOT NULL,
    device_id text,
    token_id bigint,
    app_display_name text NOT NULL,
    device_display_name text NOT NULL,
    profile_tag text,
    lang text NOT NULL,
    data text NOT NULL,
    enabled boolean NOT NULL,
    set_ms bigint NOT NULL,
    shard smallint NOT NULL,
    "position" bigint NOT NULL
);

ALTER TABLE pushers ALTER COLUMN pusher_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pushers_pusher_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE receipts (
    room_nid integer NOT NULL,
    user_id text NOT NULL,
    receipt_type text NOT NULL,
    thread_id text NOT NULL,
    event_id text NOT NULL,
    event_position bigint NOT NULL,
    ts bigint NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE redaction_marks (
    made_ms bigint NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE redaction_pruning (
    one boolean DEFAULT true NOT NULL,
    "position" bigint NOT NULL,
    CONSTRAINT redaction_pruning_one_check CHECK (one)
);

CREATE TABLE refresh_tokens (
    token_hash bytea NOT NULL,
    user_id text NOT NULL,
    device_id text NOT NULL,
    next_hash bytea,
    expires_ms bigint,
    ends_ms bigint
);

CREATE TABLE registration_tokens (
    token text NOT NULL,
    uses_allowed integer,
    pending integer DEFAULT 0 NOT NULL,
    completed integer DEFAULT 0 NOT NULL,
    expires_ms bigint
);

CREATE TABLE relations (
    event_nid bigint NOT NULL,
    room_nid integer NOT NULL,
    parent_id text NOT NULL,
    rel_type text NOT NULL,
    aggregation_key text,
    type text NOT NULL,
    sender text NOT NULL,
    "position" bigint NOT NULL,
    depth bigint NOT NULL
);

CREATE TABLE remote_device_lists (
    user_id text NOT NULL,
    stream_id bigint,
    update_id bigint,
    stale boolean NOT NULL,
    version bigint DEFAULT 0 NOT NULL,
    master text,
    self_signing text,
    failures integer DEFAULT 0 NOT NULL,
    retry_ms bigint DEFAULT 0 NOT NULL
);

CREATE TABLE remote_devices (
    user_id text NOT NULL,
    device_id text NOT NULL,
    "json" text NOT NULL
);

CREATE TABLE reports (
    report_id bigint NOT NULL,
    received_ms bigint NOT NULL,
    reporter text NOT NULL,
    room_id text,
    event_id text,
    user_id text,
    reason text,
    score integer
);

ALTER TABLE reports ALTER COLUMN report_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME reports_report_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE room_aliases (
    alias text NOT NULL,
    room_nid integer NOT NULL,
    creator text NOT NULL
);

CREATE TABLE room_imports (
    room_nid integer NOT NULL,
    nonce text NOT NULL
);

CREATE SEQUENCE room_nids
    START WITH 1
    INCREMENT BY 16
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE room_servers (
    room_nid integer NOT NULL,
    server text NOT NULL,
    since bigint NOT NULL,
    until bigint,
    members integer NOT NULL
)
WITH (fillfactor='90');

CREATE TABLE room_state (
    room_nid integer NOT NULL,
    state_key_nid integer NOT NULL,
    since bigint NOT NULL,
    until bigint,
    event_nid bigint NOT NULL
);

CREATE TABLE rooms (
    room_nid integer NOT NULL,
    room_id text NOT NULL,
    version text NOT NULL,
    creator text NOT NULL,
    room_type text,
    head bigint DEFAULT 0 NOT NULL,
    extremities bigint[] DEFAULT '{}'::bigint[] NOT NULL
)
WITH (fillfactor='80');

CREATE TABLE server_key_answers (
    server_name text NOT NULL,
    answer text NOT NULL,
    valid_until_ms bigint NOT NULL,
    fetched_ms bigint NOT NULL
);

CREATE TABLE server_keys (
    server_name text NOT NULL,
    key_id text NOT NULL,
    verify_key bytea NOT NULL,
    valid_until_ms bigint NOT NULL,
    fetched_ms bigint NOT NULL,
    is_old boolean NOT NULL
);

CREATE TABLE setup_token (
    one boolean DEFAULT true NOT NULL,
    token text NOT NULL,
    CONSTRAINT setup_token_one_check CHECK (one)
);

CREATE TABLE signature_changes (
    reader_id text NOT NULL,
    user_id text NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE state_keys (
    state_key_nid integer NOT NULL,
    type text NOT NULL,
    state_key text NOT NULL
);

ALTER TABLE state_keys ALTER COLUMN state_key_nid ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME state_keys_state_key_nid_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE stream (
    "position" bigint NOT NULL,
    kind text NOT NULL,
    room_nid integer,
    user_id text,
    body text NOT NULL
);

CREATE TABLE stream_head (
    one boolean DEFAULT true NOT NULL,
    "position" bigint NOT NULL,
    CONSTRAINT stream_head_one_check CHECK (one)
);

CREATE TABLE stream_readers (
    name text NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE threepid_binds (
    user_id text NOT NULL,
    medium text NOT NULL,
    address text NOT NULL,
    id_server text NOT NULL
);

CREATE TABLE threepid_checks (
    sid text NOT NULL,
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

CREATE TABLE threepids (
    medium text NOT NULL,
    address text NOT NULL,
    user_id text NOT NULL,
    validated_ms bigint NOT NULL,
    added_ms bigint NOT NULL
);

CREATE TABLE timeline_gaps (
    room_nid integer NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE to_device (
    user_id text NOT NULL,
    device_id text NOT NULL,
    "position" bigint NOT NULL,
    "json" text NOT NULL
);

CREATE TABLE to_device_transactions (
    sender text NOT NULL,
    device text NOT NULL,
    transaction_id text NOT NULL,
    made_ms bigint NOT NULL
);

CREATE TABLE told_keys (
    user_id text NOT NULL,
    "json" text NOT NULL
);

CREATE TABLE ui_auth_sessions (
    session_id text NOT NULL,
    created_ms bigint NOT NULL,
    operation text NOT NULL,
    completed text NOT NULL
);

CREATE TABLE url_previews (
    url_sha256 bytea NOT NULL,
    expires_ms bigint NOT NULL,
    "json" text NOT NULL
);

CREATE TABLE user_directory (
    user_id text NOT NULL,
    is_local boolean NOT NULL,
    display_name text,
    avatar_url text,
    words tsvector NOT NULL,
    ask_after_ms bigint
);

CREATE TABLE user_directory_progress (
    one boolean DEFAULT true NOT NULL,
    "position" bigint NOT NULL,
    after text,
    CONSTRAINT user_directory_progress_one_check CHECK (one)
);

CREATE TABLE user_directory_rooms (
    room_nid integer NOT NULL
);

CREATE TABLE users (
    user_id text NOT NULL,
    password_hash text,
    created_ms bigint NOT NULL,
    is_admin boolean DEFAULT false NOT NULL,
    is_guest boolean DEFAULT false NOT NULL,
    is_deactivated boolean DEFAULT false NOT NULL,
    is_erased boolean DEFAULT false NOT NULL,
    is_locked boolean DEFAULT false NOT NULL,
    is_suspended boolean DEFAULT false NOT NULL,
    is_shadow_banned boolean DEFAULT false NOT NULL,
    appservice_id text,
    user_type text
);

CREATE TABLE users_leaving (
    user_id text NOT NULL
);

ALTER TABLE ONLY bridge_inbox ALTER COLUMN seq SET DEFAULT nextval('bridge_inbox_seq_seq'::regclass);

ALTER TABLE ONLY bridge_messages ALTER COLUMN seq SET DEFAULT nextval('bridge_messages_seq_seq'::regclass);

ALTER TABLE ONLY access_tokens
    ADD CONSTRAINT access_tokens_pkey PRIMARY KEY (token_id);

ALTER TABLE ONLY access_tokens
    ADD CONSTRAINT access_tokens_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY account_data
    ADD CONSTRAINT account_data_pkey PRIMARY KEY (user_id, room_id, type);

ALTER TABLE ONLY appservice_queues
    ADD CONSTRAINT appservice_queues_pkey PRIMARY KEY (id);

ALTER TABLE ONLY appservices
    ADD CONSTRAINT appservices_pkey PRIMARY KEY (id);

ALTER TABLE ONLY awaited_redactions
    ADD CONSTRAINT awaited_redactions_pkey PRIMARY KEY (target_id, redaction_nid);

ALTER TABLE ONLY bridge_changes
    ADD CONSTRAINT bridge_changes_pkey PRIMARY KEY (bridge, channel_id, message_id, what);

ALTER TABLE ONLY bridge_copies
    ADD CONSTRAINT bridge_copies_pkey PRIMARY KEY (bridge, file_id);

ALTER TABLE ONLY bridge_emoji
    ADD CONSTRAINT bridge_emoji_pkey PRIMARY KEY (bridge, emoji_id);

ALTER TABLE ONLY bridge_inbox
    ADD CONSTRAINT bridge_inbox_pkey PRIMARY KEY (bridge, seq);

ALTER TABLE ONLY bridge_logins
    ADD CONSTRAINT bridge_logins_pkey PRIMARY KEY (bridge, login_id);

ALTER TABLE ONLY bridge_management_rooms
    ADD CONSTRAINT bridge_management_rooms_pkey PRIMARY KEY (bridge, room_id);

ALTER TABLE ONLY bridge_marks
    ADD CONSTRAINT bridge_marks_pkey PRIMARY KEY (bridge, channel_id);

ALTER TABLE ONLY bridge_memory
    ADD CONSTRAINT bridge_memory_pkey PRIMARY KEY (bridge, key);

ALTER TABLE ONLY bridge_messages
    ADD CONSTRAINT bridge_messages_pkey PRIMARY KEY (bridge, channel_id, message_id, part_id);

ALTER TABLE ONLY bridge_people
    ADD CONSTRAINT bridge_people_bridge_user_id_key UNIQUE (bridge, user_id);

ALTER TABLE ONLY bridge_people
    ADD CONSTRAINT bridge_people_pkey PRIMARY KEY (bridge, person_id);

ALTER TABLE ONLY bridge_portals
    ADD CONSTRAINT bridge_portals_bridge_room_id_key UNIQUE (bridge, room_id);

ALTER TABLE ONLY bridge_portals
    ADD CONSTRAINT bridge_portals_pkey PRIMARY KEY (bridge, channel_id);

ALTER TABLE ONLY bridge_reactions
    ADD CONSTRAINT bridge_reactions_pkey PRIMARY KEY (bridge, channel_id, message_id, user_id, emoji_id);

ALTER TABLE ONLY bridge_spaces
    ADD CONSTRAINT bridge_spaces_bridge_room_id_key UNIQUE (bridge, room_id);

ALTER TABLE ONLY bridge_spaces
    ADD CONSTRAINT bridge_spaces_pkey PRIMARY KEY (bridge, space_id);

ALTER TABLE ONLY bridge_taken
    ADD CONSTRAINT bridge_taken_pkey PRIMARY KEY (bridge, key);

ALTER TABLE ONLY bridge_threads
    ADD CONSTRAINT bridge_threads_pkey PRIMARY KEY (bridge, channel_id, thread_id);

ALTER TABLE ONLY bridge_votes
    ADD CONSTRAINT bridge_votes_pkey PRIMARY KEY (bridge, channel_id, message_id, voter);

ALTER TABLE ONLY committers
    ADD CONSTRAINT committers_pkey PRIMARY KEY (instance);

ALTER TABLE ONLY cross_signing_keys
    ADD CONSTRAINT cross_signing_keys_pkey PRIMARY KEY (user_id, usage);

ALTER TABLE ONLY dehydrated_devices
    ADD CONSTRAINT dehydrated_devices_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY destinations
    ADD CONSTRAINT destinations_pkey PRIMARY KEY (server_name);

ALTER TABLE ONLY device_keys
    ADD CONSTRAINT device_keys_pkey PRIMARY KEY (user_id, device_id);

ALTER TABLE ONLY device_list_changes
    ADD CONSTRAINT device_list_changes_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY device_list_updates
    ADD CONSTRAINT device_list_updates_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY devices
    ADD CONSTRAINT devices_pkey PRIMARY KEY (user_id, device_id);

ALTER TABLE ONLY event_state
    ADD CONSTRAINT event_state_pkey PRIMARY KEY (event_nid);

ALTER TABLE ONLY event_transactions
    ADD CONSTRAINT event_transactions_pkey PRIMARY KEY (user_id, device, scope, transaction_id);

ALTER TABLE ONLY event_words
    ADD CONSTRAINT event_words_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY event_words_progress
    ADD CONSTRAINT event_words_progress_pkey PRIMARY KEY (one);

ALTER TABLE ONLY events
    ADD CONSTRAINT events_event_id_key UNIQUE (event_id);

ALTER TABLE ONLY events
    ADD CONSTRAINT events_pkey PRIMARY KEY (event_nid);

ALTER TABLE ONLY fallback_keys
    ADD CONSTRAINT fallback_keys_pkey PRIMARY KEY (user_id, device_id, algorithm);

ALTER TABLE ONLY federation_aside
    ADD CONSTRAINT federation_aside_pkey PRIMARY KEY (destination, "position");

ALTER TABLE ONLY federation_behind
    ADD CONSTRAINT federation_behind_pkey PRIMARY KEY (destination);

ALTER TABLE ONLY federation_broadcasts
    ADD CONSTRAINT federation_broadcasts_pkey PRIMARY KEY (user_id, key);

ALTER TABLE ONLY federation_edus
    ADD CONSTRAINT federation_edus_pkey PRIMARY KEY (destination, key);

ALTER TABLE ONLY federation_passed_on
    ADD CONSTRAINT federation_passed_on_pkey PRIMARY KEY (room_nid, "position");

ALTER TABLE ONLY federation_received
    ADD CONSTRAINT federation_received_pkey PRIMARY KEY (origin, transaction_id);

ALTER TABLE ONLY federation_shards
    ADD CONSTRAINT federation_shards_pkey PRIMARY KEY (shard);

ALTER TABLE ONLY filters
    ADD CONSTRAINT filters_pkey PRIMARY KEY (filter_id);

ALTER TABLE ONLY filters
    ADD CONSTRAINT filters_user_id_hash_key UNIQUE (user_id, hash);

ALTER TABLE ONLY imported_events
    ADD CONSTRAINT imported_events_pkey PRIMARY KEY (room_nid, claimed_id);

ALTER TABLE ONLY key_backup_sessions
    ADD CONSTRAINT key_backup_sessions_pkey PRIMARY KEY (user_id, version, room_id, session_id);

ALTER TABLE ONLY key_backups
    ADD CONSTRAINT key_backups_pkey PRIMARY KEY (user_id, version);

ALTER TABLE ONLY key_signatures
    ADD CONSTRAINT key_signatures_pkey PRIMARY KEY (target_user_id, target, signer_user_id, signer_key_id);

ALTER TABLE ONLY listeners
    ADD CONSTRAINT listeners_pkey PRIMARY KEY (pid);

ALTER TABLE ONLY login_tokens
    ADD CONSTRAINT login_tokens_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY mail_throttles
    ADD CONSTRAINT mail_throttles_pkey PRIMARY KEY (pusher_id, room_nid);

ALTER TABLE ONLY media_files
    ADD CONSTRAINT media_files_pkey PRIMARY KEY (file_nid);

ALTER TABLE ONLY media_files
    ADD CONSTRAINT media_files_sha256_key UNIQUE (sha256);

ALTER TABLE ONLY media
    ADD CONSTRAINT media_pkey PRIMARY KEY (origin, media_id);

ALTER TABLE ONLY media_quarantine
    ADD CONSTRAINT media_quarantine_pkey PRIMARY KEY (sha256);

ALTER TABLE ONLY media_thumbnails
    ADD CONSTRAINT media_thumbnails_pkey PRIMARY KEY (file_nid, width, height, method, animated);

ALTER TABLE ONLY memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (room_nid, user_id);

ALTER TABLE ONLY migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (number);

ALTER TABLE ONLY missing_prev_events
    ADD CONSTRAINT missing_prev_events_pkey PRIMARY KEY (room_nid, event_id, referrer_nid);

ALTER TABLE ONLY one_time_keys
    ADD CONSTRAINT one_time_keys_pkey PRIMARY KEY (user_id, device_id, algorithm, key_id);

ALTER TABLE ONLY openid_tokens
    ADD CONSTRAINT openid_tokens_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY out_of_band
    ADD CONSTRAINT out_of_band_pkey PRIMARY KEY (event_nid);

ALTER TABLE ONLY partial_rooms
    ADD CONSTRAINT partial_rooms_pkey PRIMARY KEY (room_nid);

ALTER TABLE ONLY presence
    ADD CONSTRAINT presence_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY profiles
    ADD CONSTRAINT profiles_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY published_rooms
    ADD CONSTRAINT published_rooms_pkey PRIMARY KEY (appservice_id, network_id, room_nid);

ALTER TABLE ONLY push_rules
    ADD CONSTRAINT push_rules_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY pushers
    ADD CONSTRAINT pushers_pkey PRIMARY KEY (pusher_id);

ALTER TABLE ONLY pushers
    ADD CONSTRAINT pushers_user_id_app_id_pushkey_key UNIQUE (user_id, app_id, pushkey);

ALTER TABLE ONLY receipts
    ADD CONSTRAINT receipts_pkey PRIMARY KEY (room_nid, user_id, receipt_type, thread_id);

ALTER TABLE ONLY redaction_marks
    ADD CONSTRAINT redaction_marks_pkey PRIMARY KEY (made_ms);

ALTER TABLE ONLY redaction_pruning
    ADD CONSTRAINT redaction_pruning_pkey PRIMARY KEY (one);

ALTER TABLE ONLY refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY registration_tokens
    ADD CONSTRAINT registration_tokens_pkey PRIMARY KEY (token);

ALTER TABLE ONLY relations
    ADD CONSTRAINT relations_pkey PRIMARY KEY (event_nid);

ALTER TABLE ONLY remote_device_lists
    ADD CONSTRAINT remote_device_lists_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY remote_devices
    ADD CONSTRAINT remote_devices_pkey PRIMARY KEY (user_id, device_id);

ALTER TABLE ONLY reports
    ADD CONSTRAINT reports_pkey PRIMARY KEY (report_id);

ALTER TABLE ONLY room_aliases
    ADD CONSTRAINT room_aliases_pkey PRIMARY KEY (alias);

ALTER TABLE ONLY room_imports
    ADD CONSTRAINT room_imports_pkey PRIMARY KEY (room_nid);

ALTER TABLE ONLY room_servers
    ADD CONSTRAINT room_servers_pkey PRIMARY KEY (room_nid, server, since);

ALTER TABLE ONLY room_state
    ADD CONSTRAINT room_state_pkey PRIMARY KEY (room_nid, state_key_nid, since);

ALTER TABLE ONLY rooms
    ADD CONSTRAINT rooms_pkey PRIMARY KEY (room_nid);

ALTER TABLE ONLY rooms
    ADD CONSTRAINT rooms_room_id_key UNIQUE (room_id);

ALTER TABLE ONLY server_key_answers
    ADD CONSTRAINT server_key_answers_pkey PRIMARY KEY (server_name);

ALTER TABLE ONLY server_keys
    ADD CONSTRAINT server_keys_pkey PRIMARY KEY (server_name, key_id);

ALTER TABLE ONLY setup_token
    ADD CONSTRAINT setup_token_pkey PRIMARY KEY (one);

ALTER TABLE ONLY signature_changes
    ADD CONSTRAINT signature_changes_pkey PRIMARY KEY (reader_id, user_id);

ALTER TABLE ONLY state_keys
    ADD CONSTRAINT state_keys_pkey PRIMARY KEY (state_key_nid);

ALTER TABLE ONLY state_keys
    ADD CONSTRAINT state_keys_type_state_key_key UNIQUE (type, state_key);

ALTER TABLE ONLY stream_head
    ADD CONSTRAINT stream_head_pkey PRIMARY KEY (one);

ALTER TABLE ONLY stream
    ADD CONSTRAINT stream_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY stream_readers
    ADD CONSTRAINT stream_readers_pkey PRIMARY KEY (name);

ALTER TABLE ONLY threepid_binds
    ADD CONSTRAINT threepid_binds_pkey PRIMARY KEY (user_id, medium, address, id_server);

ALTER TABLE ONLY threepid_checks
    ADD CONSTRAINT threepid_checks_pkey PRIMARY KEY (sid);

ALTER TABLE ONLY threepids
    ADD CONSTRAINT threepids_pkey PRIMARY KEY (medium, address);

ALTER TABLE ONLY timeline_gaps
    ADD CONSTRAINT timeline_gaps_pkey PRIMARY KEY (room_nid, "position");

ALTER TABLE ONLY to_device
    ADD CONSTRAINT to_device_pkey PRIMARY KEY (user_id, device_id, "position");

ALTER TABLE ONLY to_device_transactions
    ADD CONSTRAINT to_device_transactions_pkey PRIMARY KEY (sender, device, transaction_id);

ALTER TABLE ONLY told_keys
    ADD CONSTRAINT told_keys_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY ui_auth_sessions
    ADD CONSTRAINT ui_auth_sessions_pkey PRIMARY KEY (session_id);

ALTER TABLE ONLY url_previews
    ADD CONSTRAINT url_previews_pkey PRIMARY KEY (url_sha256);

ALTER TABLE ONLY user_directory
    ADD CONSTRAINT user_directory_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY user_directory_progress
    ADD CONSTRAINT user_directory_progress_pkey PRIMARY KEY (one);

ALTER TABLE ONLY user_directory_rooms
    ADD CONSTRAINT user_directory_rooms_pkey PRIMARY KEY (room_nid);

ALTER TABLE ONLY users_leaving
    ADD CONSTRAINT users_leaving_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY users
    ADD CONSTRAINT users_pkey PRIMARY KEY (user_id);

CREATE INDEX access_tokens_by_refresh ON access_tokens USING btree (refresh_hash) WHERE (refresh_hash IS NOT NULL);

CREATE INDEX access_tokens_by_user ON access_tokens USING btree (user_id, device_id);

CREATE INDEX account_data_by_position ON account_data USING btree (user_id, "position");

CREATE INDEX bridge_emoji_by_mxc ON bridge_emoji USING btree (bridge, mxc);

CREATE INDEX bridge_inbox_by_queue ON bridge_inbox USING btree (bridge, queue, seq);

CREATE INDEX bridge_logins_of_user ON bridge_logins USING btree (bridge, user_id);

CREATE INDEX bridge_messages_by_event ON bridge_messages USING btree (bridge, event_id);

CREATE INDEX bridge_messages_by_thread ON bridge_messages USING btree (bridge, channel_id, thread_id, sent_ms, seq) WHERE (thread_id IS NOT NULL);

CREATE INDEX bridge_messages_by_time ON bridge_messages USING btree (bridge, channel_id, sent_ms, seq);

CREATE INDEX bridge_reactions_by_event ON bridge_reactions USING btree (bridge, event_id);

CREATE INDEX bridge_taken_by_age ON bridge_taken USING btree (bridge, at_ms);

CREATE INDEX bridge_threads_by_event ON bridge_threads USING btree (bridge, root_event_id);

CREATE INDEX destinations_by_retry ON destinations USING btree (retry_at_ms);

CREATE INDEX device_list_changes_by_position ON device_list_changes USING btree ("position");

CREATE INDEX event_transactions_by_age ON event_transactions USING btree (made_ms);

CREATE INDEX event_transactions_by_event ON event_transactions USING btree (event_nid);

CREATE INDEX event_words_by_word ON event_words USING gin (words);

CREATE UNIQUE INDEX events_at_position ON events USING btree ("position") WHERE ("position" IS NOT NULL);

CREATE INDEX events_by_depth ON events USING btree (room_nid, depth, "position") WHERE ("position" IS NOT NULL);

CREATE INDEX events_by_position ON events USING btree (room_nid, "position") WHERE ("position" IS NOT NULL);

CREATE INDEX events_by_time ON events USING btree (room_nid, origin_server_ts) WHERE ("position" IS NOT NULL);

CREATE INDEX federation_behind_by_shard ON federation_behind USING btree (shard);

CREATE INDEX federation_broadcasts_in_order ON federation_broadcasts USING btree ("position");

CREATE INDEX federation_edus_in_order ON federation_edus USING btree (destination, "position");

CREATE INDEX federation_received_by_age ON federation_received USING btree (received_ms);

CREATE INDEX imported_events_by_age ON imported_events USING btree (claimed_ms);

CREATE INDEX imported_events_by_id ON imported_events USING btree (event_id);

CREATE INDEX key_signatures_by_signer ON key_signatures USING btree (signer_user_id, signer_key_id);

CREATE INDEX login_tokens_by_age ON login_tokens USING btree (expires_ms);

CREATE INDEX media_announced ON media USING btree (expires_ms) WHERE (file_nid IS NULL);

CREATE INDEX media_by_last_access ON media USING btree (COALESCE(last_access_ms, created_ms));

CREATE INDEX media_of_file ON media USING btree (file_nid);

CREATE INDEX media_of_previews ON media USING btree (created_ms) WHERE of_preview;

CREATE INDEX media_of_user ON media USING btree (uploader, created_ms) WHERE (uploader IS NOT NULL);

CREATE INDEX media_thumbnails_by_last_access ON media_thumbnails USING btree (last_access_ms);

CREATE INDEX memberships_by_server ON memberships USING btree (room_nid, server_of(user_id)) WHERE (membership = 'join'::text);

CREATE INDEX memberships_by_user ON memberships USING btree (user_id, membership);

CREATE UNIQUE INDEX one_time_keys_in_order ON one_time_keys USING btree (user_id, device_id, algorithm, nid);

CREATE INDEX openid_tokens_by_age ON openid_tokens USING btree (expires_ms);

CREATE INDEX published_rooms_by_room ON published_rooms USING btree (room_nid);

CREATE INDEX pushers_by_key ON pushers USING btree (app_id, pushkey);

CREATE INDEX pushers_by_shard ON pushers USING btree (shard);

CREATE INDEX pushers_by_token ON pushers USING btree (token_id) WHERE (token_id IS NOT NULL);

CREATE INDEX receipts_by_position ON receipts USING btree (room_nid, "position");

CREATE INDEX receipts_by_user ON receipts USING btree (user_id);

CREATE INDEX refresh_tokens_by_next ON refresh_tokens USING btree (next_hash) WHERE (next_hash IS NOT NULL);

CREATE INDEX refresh_tokens_by_user ON refresh_tokens USING btree (user_id, device_id);

CREATE INDEX relations_of_parent ON relations USING btree (parent_id, rel_type, depth, "position");

CREATE INDEX relations_of_threads ON relations USING btree (room_nid, depth, "position") WHERE (rel_type = 'm.thread'::text);

CREATE INDEX remote_device_lists_to_fetch ON remote_device_lists USING btree (retry_ms) WHERE stale;

CREATE INDEX room_aliases_of_room ON room_aliases USING btree (room_nid);

CREATE INDEX room_servers_by_server ON room_servers USING btree (server, room_nid);

CREATE UNIQUE INDEX room_servers_now ON room_servers USING btree (room_nid, server) WHERE (until IS NULL);

CREATE INDEX room_state_current ON room_state USING btree (room_nid, state_key_nid) INCLUDE (event_nid) WHERE (until IS NULL);

CREATE INDEX room_state_since ON room_state USING btree (room_nid, since);

CREATE INDEX threepid_checks_by_age ON threepid_checks USING btree (made_ms);

CREATE INDEX threepid_checks_by_secret ON threepid_checks USING btree (client_secret, address, purpose);

CREATE INDEX threepids_of_user ON threepids USING btree (user_id);

CREATE INDEX to_device_transactions_by_age ON to_device_transactions USING btree (made_ms);

CREATE INDEX ui_auth_sessions_by_age ON ui_auth_sessions USING btree (created_ms);

CREATE INDEX url_previews_by_expiry ON url_previews USING btree (expires_ms);

CREATE INDEX user_directory_by_word ON user_directory USING gin (words);

CREATE INDEX user_directory_to_ask ON user_directory USING btree (ask_after_ms) WHERE (ask_after_ms IS NOT NULL);

CREATE TRIGGER memberships_added AFTER INSERT ON memberships REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION follow_memberships();

CREATE TRIGGER memberships_changed AFTER UPDATE ON memberships REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION follow_memberships();

CREATE TRIGGER memberships_deleted AFTER DELETE ON memberships REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION follow_memberships();

ALTER TABLE ONLY mail_throttles
    ADD CONSTRAINT mail_throttles_pusher_id_fkey FOREIGN KEY (pusher_id) REFERENCES pushers(pusher_id) ON DELETE CASCADE;

ALTER TABLE ONLY media
    ADD CONSTRAINT media_file_nid_fkey FOREIGN KEY (file_nid) REFERENCES media_files(file_nid);

ALTER TABLE ONLY media_thumbnails
    ADD CONSTRAINT media_thumbnails_file_nid_fkey FOREIGN KEY (file_nid) REFERENCES media_files(file_nid);

ALTER TABLE ONLY pushers
    ADD CONSTRAINT pushers_token_id_fkey FOREIGN KEY (token_id) REFERENCES access_tokens(token_id) ON DELETE CASCADE;
