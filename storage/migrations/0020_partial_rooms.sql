-- Rooms that were joined by way of a server which left out most members: what is still to be learned of them.
CREATE TABLE partial_rooms (
    room_nid int PRIMARY KEY,
    -- The join before which the whole state is lacking.
    join_nid bigint NOT NULL,
    -- The whole state will lie from this position on.
    base bigint NOT NULL,
    -- The servers in the room, by the word of the one that let us in. Until all is known each counts as having one
    -- member more in `room_servers` than we know of.
    servers text[] NOT NULL,
    -- The position from which all is known. The row stays: to whoever looks from before that, the room is new.
    completed bigint
);
