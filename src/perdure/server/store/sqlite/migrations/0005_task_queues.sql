-- Version 5. What operators have set of task queues. Read once, when the engine opens.

CREATE TABLE perdure_task_queue (
    namespace       INTEGER NOT NULL,
    queue           TEXT NOT NULL,
    kind            INTEGER NOT NULL,
    config          BLOB NOT NULL,
    PRIMARY KEY (namespace, queue, kind)
) STRICT, WITHOUT ROWID;
