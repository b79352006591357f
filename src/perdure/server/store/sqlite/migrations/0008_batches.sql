-- Version 6. Batch operations: what each is and how far it has come, in one blob. Read when the server starts.

CREATE TABLE perdure_batch (
    namespace       INTEGER NOT NULL,
    job_id          TEXT NOT NULL,
    state           BLOB NOT NULL,
    PRIMARY KEY (namespace, job_id)
) STRICT, WITHOUT ROWID;
