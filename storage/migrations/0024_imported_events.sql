-- Events that an application service has imported under ids of its own choice, and the ids that they have got.
CREATE TABLE imported_events (
    room_nid int NOT NULL,
    claimed_id text NOT NULL,
    event_id text NOT NULL,
    appservice_id text NOT NULL,
    -- For history: the position that is kept for the event, so that an import that broke off goes on in order.
    position bigint,
    PRIMARY KEY (room_nid, claimed_id)
);
CREATE INDEX imported_events_by_id ON imported_events (event_id);
