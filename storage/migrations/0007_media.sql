-- Media: what users upload, copies of other servers' media, thumbnails, previews of links.

-- A file on disk. Equal content is stored once; `name` is random and never used again, so that whoever deletes a file
-- cannot hit one that was uploaded anew in between.
CREATE TABLE media_files (
    file_nid bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    sha256 bytea NOT NULL UNIQUE,
    name text NOT NULL,
    length bigint NOT NULL
);

-- Media without a file is announced: it may be uploaded until `expires_ms`.
CREATE TABLE media (
    origin text NOT NULL,
    media_id text NOT NULL,
    file_nid bigint REFERENCES media_files,
    uploader text,
    content_type text NOT NULL DEFAULT 'application/octet-stream',
    file_name text,
    created_ms bigint NOT NULL,
    expires_ms bigint,
    last_access_ms bigint,
    -- Not to be had without an access token.
    authenticated bool NOT NULL,
    -- Cannot be quarantined.
    protected bool NOT NULL DEFAULT false,
    -- An image of a link's preview: deleted after some days.
    of_preview bool NOT NULL DEFAULT false,
    PRIMARY KEY (origin, media_id)
);
CREATE INDEX media_of_file ON media (file_nid);
CREATE INDEX media_of_user ON media (uploader, created_ms) WHERE uploader IS NOT NULL;
CREATE INDEX media_announced ON media (expires_ms) WHERE file_nid IS NULL;
CREATE INDEX media_of_previews ON media (created_ms) WHERE of_preview;
CREATE INDEX media_by_last_access ON media ((coalesce(last_access_ms, created_ms)));

-- By content, so that media uploaded later with the same content is quarantined too.
CREATE TABLE media_quarantine (
    sha256 bytea PRIMARY KEY,
    quarantined_by text NOT NULL,
    at_ms bigint NOT NULL
);

-- `width` and `height` are those of the box that the image was fitted to.
CREATE TABLE media_thumbnails (
    file_nid bigint NOT NULL REFERENCES media_files,
    width int NOT NULL,
    height int NOT NULL,
    method text NOT NULL,
    animated bool NOT NULL,
    content_type text NOT NULL,
    length int NOT NULL,
    name text NOT NULL,
    last_access_ms bigint NOT NULL,
    PRIMARY KEY (file_nid, width, height, method, animated)
);
CREATE INDEX media_thumbnails_by_last_access ON media_thumbnails (last_access_ms);

-- `url_sha256` stands for the link, which may be too long for an index.
CREATE TABLE url_previews (
    url_sha256 bytea PRIMARY KEY,
    expires_ms bigint NOT NULL,
    json text NOT NULL
);
CREATE INDEX url_previews_by_expiry ON url_previews (expires_ms);
