-- What reading rooms needs: an event's children in their order, threads, times, words to search for; and reports.

-- A child that is redacted relates to nothing any more: its row goes with the redaction.
DELETE FROM relations r USING events e WHERE e.event_nid = r.event_nid AND e.redacted_by IS NOT NULL;
DROP INDEX relations_of_parent;
CREATE INDEX relations_of_parent ON relations (parent_id, rel_type, depth, position);
DROP INDEX relations_by_room;
CREATE INDEX relations_of_threads ON relations (room_nid, depth, position) WHERE rel_type = 'm.thread';

CREATE INDEX events_by_time ON events (room_nid, origin_server_ts) WHERE position IS NOT NULL;

-- The words of messages, names and topics, by the event's position, and among them its room as one more word: chr(1)
-- and the room's number, which no text can hold. So the index itself finds the matches in the rooms asked for.
CREATE TABLE event_words (
    position bigint PRIMARY KEY,
    words tsvector NOT NULL
);
CREATE INDEX event_words_by_word ON event_words USING gin (words);
-- Events at positions from `oldest` to `newest` have their words there. No row until somebody searches.
CREATE TABLE event_words_progress (
    one bool PRIMARY KEY DEFAULT true CHECK (one),
    newest bigint NOT NULL,
    oldest bigint NOT NULL
);

-- What users reported: an event in a room, a room, or a user.
CREATE TABLE reports (
    report_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    received_ms bigint NOT NULL,
    reporter text NOT NULL,
    room_id text,
    event_id text,
    user_id text,
    reason text,
    score int
);
