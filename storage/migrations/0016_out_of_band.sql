-- Memberships of our users in rooms that this server is not in: invites, knocks, and what became of them. Such a member
-- event is no row of `events`: it would have a number below those of its auth events, which come when the room does.
CREATE TABLE out_of_band (
    -- From the sequence of events; what the user's row in `memberships` names.
    event_nid bigint PRIMARY KEY,
    room_nid int NOT NULL,
    version text NOT NULL,
    event_id text NOT NULL,
    json text NOT NULL,
    -- The member event of the time when this server was in the room, if there was any.
    replaces bigint,
    -- The server by which it came, and which to ask about the room.
    server text NOT NULL,
    -- What that server chose to show of the room: stripped state.
    room_state text NOT NULL
);
