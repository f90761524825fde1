-- Up to where the messages of a bridged channel have been seen. `missed`: how often something may have been missed since,
-- and has not been made up for yet; while it is not 0 only catching up moves the mark. `since_ms`: where that began.
CREATE TABLE bridge_marks (
    bridge text NOT NULL,
    channel_id text NOT NULL,
    message_id text NOT NULL,
    sent_ms bigint NOT NULL,
    since_ms bigint NOT NULL,
    missed int NOT NULL DEFAULT 0,
    PRIMARY KEY (bridge, channel_id)
);
