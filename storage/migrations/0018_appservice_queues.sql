-- What application services still have to hear: how far each was told, and the transaction that is under way to it.
CREATE TABLE appservice_queues (
    id text PRIMARY KEY,
    -- Everything at or before it was taken by the service, or is no concern of its.
    position bigint NOT NULL,
    -- The last transaction's, taken or under way. Never lower than before, also for a service that comes back.
    transaction_id bigint NOT NULL,
    -- The transaction under way: what lies in (position, upto]. Written before the first attempt, and not changed after.
    upto bigint,
    body text,
    made_ms bigint,
    -- How often in a row it was not taken, since when, when it is tried again, and why it was not taken.
    failures int NOT NULL DEFAULT 0,
    failing_since_ms bigint,
    retry_at_ms bigint,
    fault text
) WITH (fillfactor = 50);
