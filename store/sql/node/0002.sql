-- The audit log: who did what, and who was refused. Each row has the hash of itself and of the row before it, so that none is changed, taken out or
-- put in without all later ones showing it.
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY,
    time      INTEGER NOT NULL,        -- of the commit that the row stands in, nanoseconds since 1970-01-01 UTC
    epoch     INTEGER NOT NULL,        -- ordinal of the life in which it was written
    revision  INTEGER NOT NULL,        -- of that commit
    who       TEXT NOT NULL,
    origin    TEXT NOT NULL,           -- from where: an address of the API, or a link
    operation TEXT NOT NULL,
    path      TEXT NOT NULL,
    name      TEXT NOT NULL,
    what      TEXT NOT NULL,           -- what was to become, in short
    decision  TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    request   BLOB NOT NULL,           -- ID, 16 bytes, or empty
    hash      BLOB NOT NULL            -- SHA-256 over the hash of the row before and all of the above
) STRICT;

-- The last row written, and the last one that was trimmed: where the chain ends and begins.
ALTER TABLE counters ADD COLUMN audit              INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN audit_hash         BLOB    NOT NULL DEFAULT x'';
ALTER TABLE counters ADD COLUMN audit_trimmed      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN audit_trimmed_hash BLOB    NOT NULL DEFAULT x'';
