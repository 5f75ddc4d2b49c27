-- values.db: the last values of the variables of own contexts, from the last checkpoint. A cache.
CREATE TABLE samples (
    path    TEXT PRIMARY KEY,
    context BLOB NOT NULL,             -- its ID: node, ordinal, random, number
    schema  BLOB NOT NULL,
    body    BLOB NOT NULL              -- banyan.model.v1.Samples; keys are indexes in the schema + 1
) STRICT, WITHOUT ROWID;
