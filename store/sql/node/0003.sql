-- What is known of requests that are sent until they are answered: at the node where each was made, at those it passed, and at its owner. Beside it
-- requests says what an owner did.
CREATE TABLE ledger (
    id             BLOB PRIMARY KEY,   -- of the request, 16 bytes: the same one at all nodes
    role           INTEGER NOT NULL,   -- 1: made here, 2: passed on, 3: this node is the owner
    fate           INTEGER NOT NULL,   -- 1 pending, 2 sent, 3 started, 4 done, 5 failed, 6 expired, 7 unknown
    who            TEXT NOT NULL,      -- as the audit log names them
    person         TEXT NOT NULL,      -- the user who made it here, else empty
    link           TEXT NOT NULL,      -- over which it came, empty where it was made here
    account        TEXT NOT NULL,      -- ID of that user, or of the token by which it was asked for, else empty
    digest         BLOB NOT NULL,      -- of what is asked for
    operation      TEXT NOT NULL,
    path           TEXT NOT NULL,
    name           TEXT NOT NULL,
    made           INTEGER NOT NULL,   -- nanoseconds since 1970-01-01 UTC, by this node's clock like all times here
    until          INTEGER NOT NULL,   -- it is not begun after this
    since          INTEGER NOT NULL,   -- it has this fate
    attempts       INTEGER NOT NULL,   -- how often it was sent from here
    doubt          INTEGER NOT NULL,   -- 1: one of them may have been done
    owner_ordinal  INTEGER NOT NULL,   -- revision of the owner before the newest one, 0 while it is not known
    owner_random   INTEGER NOT NULL,
    owner_number   INTEGER NOT NULL,
    via            TEXT NOT NULL,      -- names of the nodes it went through, the owner last, with blanks between them
    problem        BLOB NOT NULL,      -- banyan.model.v1.Error, empty for none
    body           BLOB NOT NULL,      -- what is asked for, sealed; empty once it has ended
    result         BLOB NOT NULL       -- what was answered, sealed; where it was made only
) STRICT, WITHOUT ROWID;
