-- What stands beside a room's events: its aliases, its place in the directory; and the scope of transaction ids.

CREATE TABLE room_aliases (
    alias text PRIMARY KEY,
    room_nid int NOT NULL,
    creator text NOT NULL
);
CREATE INDEX room_aliases_of_room ON room_aliases (room_nid);

-- Which rooms the directory shows. An application service may keep a list of its own for each network that it
-- bridges; the server's own list has '' for both.
CREATE TABLE published_rooms (
    room_nid int NOT NULL,
    appservice_id text NOT NULL DEFAULT '',
    network_id text NOT NULL DEFAULT '',
    PRIMARY KEY (appservice_id, network_id, room_nid)
);
CREATE INDEX published_rooms_by_room ON published_rooms (room_nid);

-- A transaction id is unique for a device and an endpoint: the same one in another room is another request.
ALTER TABLE event_transactions DROP CONSTRAINT event_transactions_pkey;
ALTER TABLE event_transactions ADD COLUMN scope text NOT NULL DEFAULT '';
ALTER TABLE event_transactions ADD PRIMARY KEY (user_id, device, scope, transaction_id);
