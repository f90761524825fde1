-- Who listens for commits: a session of PostgreSQL for each process, and its process. Who finds nobody else here tells
-- nobody of what he commits. Rows of sessions that have ended are deleted by the next one that begins.
CREATE TABLE listeners (
    pid int PRIMARY KEY,
    instance text NOT NULL
);
