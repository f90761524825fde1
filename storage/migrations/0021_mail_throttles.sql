-- When a pusher last told of a room by mail, how long it is to wait before the next mail because of this room, and how
-- old the newest event was that it told of.
CREATE TABLE mail_throttles (
    pusher_id bigint NOT NULL REFERENCES pushers ON DELETE CASCADE,
    room_nid int NOT NULL,
    sent_ms bigint NOT NULL,
    throttle_ms bigint NOT NULL,
    event_ms bigint NOT NULL,
    PRIMARY KEY (pusher_id, room_nid)
);
