-- Version 7. Things of a namespace that have a name and no history: read once, when the engine opens.

CREATE TABLE perdure_named (
    kind            INTEGER NOT NULL,
    namespace       INTEGER NOT NULL,
    name            TEXT NOT NULL,
    content         BLOB NOT NULL,
    PRIMARY KEY (kind, namespace, name)
) STRICT, WITHOUT ROWID;
