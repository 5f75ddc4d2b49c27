-- mirrors/ID.db: what is mounted at one mount, as a cache. Losing it costs a comparison with the provider.

-- What the rows below cover, written with them in one transaction. One row.
CREATE TABLE state (
    key      INTEGER PRIMARY KEY CHECK (key = 1),
    chain    BLOB NOT NULL,            -- banyan.model.v1.Chain of the provider's change numbers
    position INTEGER NOT NULL,         -- every change of the provider's up to this one is here
    view     INTEGER NOT NULL,         -- the view that they are of
    ordinal  INTEGER NOT NULL,         -- the provider's epoch, in which it counted samples and handles
    random   INTEGER NOT NULL,
    heard    INTEGER NOT NULL,         -- when the provider was last known to be there, nanoseconds since 1970-01-01 UTC
    change   INTEGER NOT NULL,         -- the greatest of this node's change numbers here
    horizon  INTEGER NOT NULL,         -- below this one not all removals are known
    closed   INTEGER NOT NULL          -- in which of this node's epochs, by ordinal, all that was applied was last written to the end
) STRICT;
INSERT INTO state (key, chain, position, view, ordinal, random, heard, change, horizon, closed) VALUES (1, x'', 0, 0, 0, 0, 0, 0, 0, 0);

-- Who created contexts, and in which epoch.
CREATE TABLE origins (
    key     INTEGER PRIMARY KEY,
    node    BLOB NOT NULL,
    ordinal INTEGER NOT NULL,
    random  INTEGER NOT NULL
) STRICT;

CREATE TABLE routes (
    key  INTEGER PRIMARY KEY,
    hops BLOB NOT NULL                 -- banyan.store.v1.Route
) STRICT;

CREATE TABLE schemas (
    hash BLOB PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE contexts (
    key             INTEGER PRIMARY KEY,
    path            TEXT NOT NULL UNIQUE, -- below the mount; one context may be there at two paths
    origin          INTEGER NOT NULL REFERENCES origins (key),
    number          INTEGER NOT NULL,
    label           TEXT NOT NULL,
    schema          BLOB NOT NULL REFERENCES schemas (hash),
    settings        BLOB NOT NULL,        -- banyan.store.v1.Settings, as the provider told them
    version_ordinal INTEGER NOT NULL,
    version_random  INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    provider_change INTEGER NOT NULL,     -- the provider's change number
    change          INTEGER NOT NULL,     -- this node's change number
    route           INTEGER NOT NULL REFERENCES routes (key)
) STRICT;

CREATE TABLE tombstones (
    change          INTEGER PRIMARY KEY,
    path            TEXT NOT NULL,
    origin          INTEGER NOT NULL REFERENCES origins (key),
    number          INTEGER NOT NULL,
    version_ordinal INTEGER NOT NULL,
    version_random  INTEGER NOT NULL,
    version         INTEGER NOT NULL
) STRICT;

-- The last values of a context's variables, from the last checkpoint.
CREATE TABLE samples (
    path    TEXT PRIMARY KEY,          -- below the mount
    context BLOB NOT NULL,             -- its ID: node, ordinal, random, number
    schema  BLOB NOT NULL,
    body    BLOB NOT NULL              -- banyan.model.v1.Samples; keys are indexes in the schema + 1
) STRICT, WITHOUT ROWID;
