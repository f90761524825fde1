-- Bridges: processes of their own over this database. `bridge` is the id of the bridge's registration; ids of networks
-- are opaque texts.

-- What was accepted, from the network or the homeserver, and is to be bridged: in order within each queue. `begun_ms`: it
-- may have been sent already.
CREATE TABLE bridge_inbox (
    bridge text NOT NULL,
    seq bigserial NOT NULL,
    queue text NOT NULL,
    source smallint NOT NULL,
    payload text NOT NULL,
    accepted_ms bigint NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    begun_ms bigint,
    PRIMARY KEY (bridge, seq)
);
CREATE INDEX bridge_inbox_by_queue ON bridge_inbox (bridge, queue, seq);

-- Ids of transactions and deliveries that were accepted: each is taken once.
CREATE TABLE bridge_taken (
    bridge text NOT NULL,
    key text NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (bridge, key)
);
CREATE INDEX bridge_taken_by_age ON bridge_taken (bridge, at_ms);

-- Channels and their rooms. `is_made`: the bridge made the room. `shown`: what the room shows of the channel, as JSON.
CREATE TABLE bridge_portals (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    room_id text NOT NULL,
    kind text NOT NULL,
    space_id text,
    is_made boolean NOT NULL,
    shown text NOT NULL,
    PRIMARY KEY (bridge, channel_id),
    UNIQUE (bridge, room_id)
);

CREATE TABLE bridge_spaces (
    bridge text NOT NULL,
    space_id text NOT NULL,
    room_id text NOT NULL,
    shown text NOT NULL,
    PRIMARY KEY (bridge, space_id),
    UNIQUE (bridge, room_id)
);

-- Ghosts. `avatar_id` is the network's id of the picture, `avatar_mxc` its copy.
CREATE TABLE bridge_people (
    bridge text NOT NULL,
    person_id text NOT NULL,
    user_id text NOT NULL,
    name text NOT NULL,
    avatar_id text,
    avatar_mxc text,
    is_bot boolean NOT NULL,
    PRIMARY KEY (bridge, person_id),
    UNIQUE (bridge, user_id)
);

-- Accounts of the network that Matrix users have signed in with. `lost` says why one no longer works.
CREATE TABLE bridge_logins (
    bridge text NOT NULL,
    login_id text NOT NULL,
    user_id text NOT NULL,
    person_id text NOT NULL,
    name text NOT NULL,
    credentials text NOT NULL,
    lost text,
    PRIMARY KEY (bridge, login_id)
);
CREATE INDEX bridge_logins_of_user ON bridge_logins (bridge, user_id);

-- Rooms in which one user talks to the bridge's bot.
CREATE TABLE bridge_management_rooms (
    bridge text NOT NULL,
    room_id text NOT NULL,
    user_id text NOT NULL,
    PRIMARY KEY (bridge, room_id)
);

-- Messages and events. A message may be several events (parts), an event several messages.
-- `is_ours`: written on the network by the bridge. `login_id`: by which login. `actions`: buttons and menus, as JSON.
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
    seq bigserial NOT NULL,
    is_deleted boolean NOT NULL DEFAULT false,
    memo text NOT NULL,
    actions text,
    PRIMARY KEY (bridge, channel_id, message_id, part_id)
);
CREATE INDEX bridge_messages_by_event ON bridge_messages (bridge, event_id);
CREATE INDEX bridge_messages_by_time ON bridge_messages (bridge, channel_id, sent_ms, seq);
CREATE INDEX bridge_messages_by_thread ON bridge_messages (bridge, channel_id, thread_id, sent_ms, seq)
    WHERE thread_id IS NOT NULL;

-- Who reacted with what. Of Matrix users: `is_relayed` where the bridge's bot reacted for them.
CREATE TABLE bridge_reactions (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    message_id text NOT NULL,
    user_id text NOT NULL,
    emoji_id text NOT NULL,
    event_id text NOT NULL,
    is_relayed boolean NOT NULL,
    PRIMARY KEY (bridge, channel_id, message_id, user_id, emoji_id)
);
CREATE INDEX bridge_reactions_by_event ON bridge_reactions (bridge, event_id);

CREATE TABLE bridge_threads (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    thread_id text NOT NULL,
    root_message_id text,
    root_event_id text NOT NULL,
    PRIMARY KEY (bridge, channel_id, thread_id)
);
CREATE INDEX bridge_threads_by_event ON bridge_threads (bridge, root_event_id);

-- What each voter has chosen, as a JSON list.
CREATE TABLE bridge_votes (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    message_id text NOT NULL,
    voter text NOT NULL,
    answers text NOT NULL,
    PRIMARY KEY (bridge, channel_id, message_id, voter)
);

-- How often something changed that can be undone and done again (`what`): it tells one time from another.
CREATE TABLE bridge_changes (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    message_id text NOT NULL,
    what text NOT NULL,
    count int NOT NULL,
    PRIMARY KEY (bridge, channel_id, message_id, what)
);

-- Copies of avatars, emoji and stickers, by the network's id of the file.
CREATE TABLE bridge_copies (
    bridge text NOT NULL,
    file_id text NOT NULL,
    mxc text NOT NULL,
    info text NOT NULL,
    PRIMARY KEY (bridge, file_id)
);

-- Custom emoji and their copies, so that Matrix' images find back to them.
CREATE TABLE bridge_emoji (
    bridge text NOT NULL,
    emoji_id text NOT NULL,
    name text NOT NULL,
    mxc text NOT NULL,
    PRIMARY KEY (bridge, emoji_id)
);
CREATE INDEX bridge_emoji_by_mxc ON bridge_emoji (bridge, mxc);

-- What a network remembers for itself.
CREATE TABLE bridge_memory (
    bridge text NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (bridge, key)
);
