-- Version 4. What runs are found by: the system's attributes as columns, all others as rows.
--
-- What a column would repeat is NULL: the execution time of a run that began at once, the root of a run that is one.

ALTER TABLE perdure_run ADD COLUMN execution_time_ns INTEGER;
ALTER TABLE perdure_run ADD COLUMN task_queue TEXT;
-- NULL while a run is open.
ALTER TABLE perdure_run ADD COLUMN history_length INTEGER;
ALTER TABLE perdure_run ADD COLUMN history_size_bytes INTEGER;
ALTER TABLE perdure_run ADD COLUMN state_transitions INTEGER;
ALTER TABLE perdure_run ADD COLUMN parent_workflow_id TEXT;
ALTER TABLE perdure_run ADD COLUMN parent_run_id TEXT;
ALTER TABLE perdure_run ADD COLUMN root_workflow_id TEXT;
ALTER TABLE perdure_run ADD COLUMN root_run_id TEXT;
-- A JSON list. Nearly every run has it, so rows would cost more.
ALTER TABLE perdure_run ADD COLUMN build_ids TEXT;

-- A search attribute's value, or one element of it, or one word. Searched by value; the other way round it is read to
-- replace what a run has, and to order by it.
CREATE TABLE perdure_attribute (
    namespace       INTEGER NOT NULL,
    attribute       TEXT NOT NULL,
    value           ANY NOT NULL,
    run             INTEGER NOT NULL,
    PRIMARY KEY (namespace, attribute, value, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX perdure_attribute_run ON perdure_attribute (run, attribute);

-- Runs are counted by status within these, without a look at their rows.
DROP INDEX perdure_run_open;
DROP INDEX perdure_run_closed;
CREATE INDEX perdure_run_open ON perdure_run (namespace, start_time_ns, status) WHERE close_time_ns = 0;
CREATE INDEX perdure_run_closed ON perdure_run (namespace, close_time_ns, status) WHERE close_time_ns > 0;
