-- Those of one server among the members of a large room: ours, of whom a server that is new there has to be told.
CREATE INDEX memberships_by_server ON memberships (room_nid, server_of(user_id)) WHERE membership = 'join';
