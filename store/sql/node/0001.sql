-- node.db: what this node has confirmed. Written by commits and by nothing else.

-- Whose directory this is.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,  -- 'node', 'name'
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The lives of this node in order, each with the first number of each sequence that counts as its own. Of change numbers that may be one of
-- the life before, from which on what it told was not all kept.
CREATE TABLE epochs (
    ordinal        INTEGER PRIMARY KEY,
    random         INTEGER NOT NULL,   -- 64 bits, as a signed number
    first_revision INTEGER NOT NULL,
    first_change   INTEGER NOT NULL,
    first_context  INTEGER NOT NULL
) STRICT;

-- The greatest number given in each sequence, and the horizon of removals. One row.
CREATE TABLE counters (
    key      INTEGER PRIMARY KEY CHECK (key = 1),
    revision INTEGER NOT NULL,
    change   INTEGER NOT NULL,
    context  INTEGER NOT NULL,
    horizon  INTEGER NOT NULL          -- below this change number not all removals are known
) STRICT;
INSERT INTO counters (key, revision, change, context, horizon) VALUES (1, 0, 0, 0, 0);

CREATE TABLE schemas (
    hash BLOB PRIMARY KEY,             -- SHA-256 of body
    body BLOB NOT NULL                 -- as it was made, fields unknown to this version included
) STRICT;

-- The contexts that this node owns.
CREATE TABLE contexts (
    key            INTEGER PRIMARY KEY, -- within this file only
    node           BLOB NOT NULL,       -- the ID: creating node, its epoch (two columns), number
    ordinal        INTEGER NOT NULL,
    random         INTEGER NOT NULL,
    number         INTEGER NOT NULL,
    path           TEXT NOT NULL UNIQUE,
    label          TEXT NOT NULL,
    kind           TEXT NOT NULL,
    schema         BLOB NOT NULL REFERENCES schemas (hash),
    revision_epoch INTEGER NOT NULL REFERENCES epochs (ordinal),
    revision       INTEGER NOT NULL,    -- of the last commit that changed it
    change         INTEGER NOT NULL,    -- this node's change number of that
    UNIQUE (number, ordinal, random, node)
) STRICT;

-- What differs from the schema's defaults.
CREATE TABLE settings (
    context INTEGER NOT NULL REFERENCES contexts (key) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    sealed  INTEGER NOT NULL,          -- 1: value is sealed by the node's key
    value   BLOB NOT NULL,             -- banyan.model.v1.Value, which tells its type
    PRIMARY KEY (context, name)
) STRICT, WITHOUT ROWID;

-- Contexts that are no more, or are no more at this path; down to the horizon.
CREATE TABLE tombstones (
    change         INTEGER PRIMARY KEY,
    node           BLOB NOT NULL,
    ordinal        INTEGER NOT NULL,
    random         INTEGER NOT NULL,
    number         INTEGER NOT NULL,
    path           TEXT NOT NULL,
    revision_epoch INTEGER NOT NULL REFERENCES epochs (ordinal),
    revision       INTEGER NOT NULL
) STRICT;

-- Requests that were begun here, until they expire: the same one is never done twice.
CREATE TABLE requests (
    id             BLOB PRIMARY KEY,   -- 16 bytes
    digest         BLOB NOT NULL,      -- of what was asked for
    started        INTEGER NOT NULL,   -- nanoseconds since 1970-01-01 UTC
    expiry         INTEGER NOT NULL,
    done           INTEGER NOT NULL,   -- 1: result and revision tell how it ended
    result         BLOB,
    revision_epoch INTEGER REFERENCES epochs (ordinal),
    revision       INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_expiry ON requests (expiry);
