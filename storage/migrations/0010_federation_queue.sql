-- Which servers are in which room, and what other servers still have to hear.

-- A server is in a room from behind the event at `since`, its first user's join, until that at `until`, its last user's
-- leave. Both are of the range's own making, so the servers before an event are those with since < position <= until.
CREATE TABLE room_servers (
    room_nid int NOT NULL,
    server text NOT NULL,
    since bigint NOT NULL,
    until bigint,
    -- Joined users, while it is in the room.
    members int NOT NULL,
    PRIMARY KEY (room_nid, server, since)
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX room_servers_now ON room_servers (room_nid, server) WHERE until IS NULL;
CREATE INDEX room_servers_by_server ON room_servers (server, room_nid);

CREATE FUNCTION server_of(user_id text) RETURNS text IMMUTABLE LANGUAGE sql
    RETURN substr(user_id, strpos(user_id, ':') + 1);

CREATE FUNCTION count_room_server(room int, name text, delta int, at bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE room_servers SET members = members + delta, until = CASE WHEN members + delta <= 0 THEN greatest(at, since) END
        WHERE room_nid = room AND server = name AND until IS NULL;
    IF NOT FOUND AND delta > 0 THEN
        INSERT INTO room_servers (room_nid, server, since, members) VALUES (room, name, at, delta)
            ON CONFLICT (room_nid, server, since) DO UPDATE SET until = NULL, members = excluded.members;
    END IF;
END $$;

-- `room_servers` follows `memberships` whoever writes them, in the same transaction: one call for each server of a
-- room whose number of joined users a statement has changed.
CREATE FUNCTION follow_memberships() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER memberships_added AFTER INSERT ON memberships REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION follow_memberships();
CREATE TRIGGER memberships_changed AFTER UPDATE ON memberships REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION follow_memberships();
CREATE TRIGGER memberships_deleted AFTER DELETE ON memberships REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION follow_memberships();

INSERT INTO room_servers (room_nid, server, since, members)
    SELECT room_nid, server_of(user_id), min(position), count(*) FROM memberships WHERE membership = 'join' GROUP BY 1, 2;

-- How far the stream has been dealt with for all destinations of a shard, those in `federation_behind` left aside.
CREATE TABLE federation_shards (
    shard smallint PRIMARY KEY,
    position bigint NOT NULL
);

-- A destination that could not be told everything: up to `position` it was. Who is up to date has no row.
CREATE TABLE federation_behind (
    destination text PRIMARY KEY,
    shard smallint NOT NULL,
    position bigint NOT NULL
);
CREATE INDEX federation_behind_by_shard ON federation_behind (shard);

-- EDUs that must arrive: deleted when the destination has acknowledged them. One with the same key takes the place of
-- an older one that still waits.
CREATE TABLE federation_edus (
    destination text NOT NULL,
    key text NOT NULL,
    position bigint NOT NULL,
    edu_type text NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (destination, key)
);
CREATE INDEX federation_edus_in_order ON federation_edus (destination, position);

-- The last EDU of each key that all servers who share a room with the user must hear, for those that are behind.
CREATE TABLE federation_broadcasts (
    user_id text NOT NULL,
    key text NOT NULL,
    position bigint NOT NULL,
    edu_type text NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX federation_broadcasts_in_order ON federation_broadcasts (position);

-- Events of other servers' users that this server has to pass on: it helped them into the room, or out of it.
CREATE TABLE federation_passed_on (
    room_nid int NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (room_nid, position)
);

-- Events for destinations that are behind and were not in the room: a withdrawn invite.
CREATE TABLE federation_aside (
    destination text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (destination, position)
);

-- Transactions of other servers that were answered already. Trimmed by age.
CREATE TABLE federation_received (
    origin text NOT NULL,
    transaction_id text NOT NULL,
    answer text NOT NULL,
    received_ms bigint NOT NULL,
    PRIMARY KEY (origin, transaction_id)
);
CREATE INDEX federation_received_by_age ON federation_received (received_ms);
