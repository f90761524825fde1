-- What an application service last told of a user's keys (MSC3984): so that others hear when it tells something else.
-- `json`: {"devices": {device_id: keys}, "master": key, "self_signing": key}.
CREATE TABLE told_keys (
    user_id text PRIMARY KEY,
    json text NOT NULL
);
