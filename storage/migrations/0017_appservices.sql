-- Application services that were added while the server ran; others are in files that the configuration names.
CREATE TABLE appservices (
    id text PRIMARY KEY,
    -- The registration as it was given, YAML.
    registration text NOT NULL,
    added_ms bigint NOT NULL
);
