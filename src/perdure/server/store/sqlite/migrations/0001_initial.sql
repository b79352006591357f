-- Version 1. The names carry a prefix because the file may also hold tables of the program that embeds the service.

CREATE TABLE perdure_shard (
    shard           INTEGER PRIMARY KEY,
    range_id        INTEGER NOT NULL,
    -- The highest numbers ever written, so that none is used again after its row is gone.
    run_max         INTEGER NOT NULL DEFAULT 0,
    turn_max        INTEGER NOT NULL DEFAULT 0,
    outbox_max      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE perdure_namespace (
    number          INTEGER PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    settings        BLOB NOT NULL
) STRICT;

-- One row per run, with what a list shows of it: both are written by the same turns, and one row is one B-tree search.
-- `workflow_hash` is 48 bits of a hash of (namespace, workflow id): the id itself is stored here once and in no index,
-- and every search by the hash compares it.
CREATE TABLE perdure_run (
    run             INTEGER PRIMARY KEY,
    shard           INTEGER NOT NULL,
    namespace       INTEGER NOT NULL,
    is_current      INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    turn            INTEGER NOT NULL,
    wake_at_ns      INTEGER,
    workflow_hash   INTEGER NOT NULL,
    workflow_id     TEXT NOT NULL,
    run_id          BLOB NOT NULL,
    head            BLOB NOT NULL,
    -- NULL until the run has been made visible. close_time_ns is 0 while it is open.
    status          INTEGER,
    start_time_ns   INTEGER,
    close_time_ns   INTEGER,
    workflow_type   TEXT,
    -- Room that a new run keeps free and gives up at its first update: its head grows by about this much, and rows that
    -- grow on a full page split it.
    reserve         BLOB
) STRICT;

-- A run is in exactly one of these two.
CREATE INDEX perdure_run_current ON perdure_run (workflow_hash) WHERE is_current = 1;
CREATE INDEX perdure_run_earlier ON perdure_run (workflow_hash, run_id) WHERE is_current = 0;

CREATE INDEX perdure_run_wake ON perdure_run (shard, wake_at_ns) WHERE wake_at_ns IS NOT NULL;
CREATE INDEX perdure_run_open ON perdure_run (namespace, start_time_ns) WHERE close_time_ns = 0;
CREATE INDEX perdure_run_closed ON perdure_run (namespace, close_time_ns) WHERE close_time_ns > 0;
CREATE INDEX perdure_run_started ON perdure_run (run) WHERE close_time_ns = 0;

-- A heap in order of arrival and a narrow index: appending fills pages completely, while a tree in order of
-- (run, event) splits them, because many runs grow at once.
CREATE TABLE perdure_history (
    place           INTEGER PRIMARY KEY,
    run             INTEGER NOT NULL,
    first_event_id  INTEGER NOT NULL,
    last_event_id   INTEGER NOT NULL,
    size_bytes      INTEGER NOT NULL,
    batch           BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX perdure_history_event ON perdure_history (run, first_event_id);

CREATE TABLE perdure_record (
    run             INTEGER NOT NULL,
    kind            INTEGER NOT NULL,
    key             BLOB NOT NULL,
    content         BLOB NOT NULL,
    PRIMARY KEY (run, kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE perdure_dispatch (
    run             INTEGER NOT NULL,
    event_id        INTEGER NOT NULL,
    namespace       INTEGER NOT NULL,
    queue           TEXT NOT NULL,
    kind            INTEGER NOT NULL,
    priority        INTEGER NOT NULL,
    ready_at_ns     INTEGER NOT NULL,
    stamp           INTEGER NOT NULL,
    directive       BLOB NOT NULL,
    PRIMARY KEY (run, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX perdure_dispatch_queue
    ON perdure_dispatch (namespace, queue, kind, priority, ready_at_ns, run, event_id);

CREATE TABLE perdure_outbox (
    sequence        INTEGER PRIMARY KEY,
    shard           INTEGER NOT NULL,
    run             INTEGER NOT NULL,
    content         BLOB NOT NULL
) STRICT;
