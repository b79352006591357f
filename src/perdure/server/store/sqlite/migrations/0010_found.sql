-- Version 10. Every attribute that a list may be filtered by has an index, and what they cost is saved elsewhere.
--
-- A list without an order has open runs by their start and then closed ones by their close: `place_ns` is either. Where
-- many runs may share a value (a type, a task queue, a custom attribute), its index goes on with status and place, so
-- that a page is read off it. Other attributes have narrow indexes, written once: few runs of a value are sorted, and
-- many are soon met on the way through the list. What a run gets when it closes is written with its status.

DROP INDEX perdure_run_open;
DROP INDEX perdure_run_closed;
DROP INDEX perdure_run_current;
DROP INDEX perdure_run_earlier;

-- Ids are searched by their beginnings too, so they are indexed themselves.
ALTER TABLE perdure_run DROP COLUMN workflow_hash;
CREATE INDEX perdure_run_current ON perdure_run (namespace, workflow_id, kind) WHERE is_current = 1;
CREATE INDEX perdure_run_earlier ON perdure_run (namespace, workflow_id, run_id, kind) WHERE is_current = 0;

ALTER TABLE perdure_run ADD COLUMN place_ns INTEGER
    GENERATED ALWAYS AS (iif(close_time_ns > 0, close_time_ns, start_time_ns)) VIRTUAL;

CREATE INDEX perdure_run_listed ON perdure_run (namespace, status, place_ns) WHERE kind = 0;
CREATE INDEX perdure_run_type ON perdure_run (namespace, workflow_type, status, place_ns) WHERE kind = 0;
CREATE INDEX perdure_run_queue ON perdure_run (namespace, task_queue, status, place_ns) WHERE kind = 0;

CREATE INDEX perdure_run_start ON perdure_run (namespace, start_time_ns) WHERE kind = 0;
-- The part of a run's id that grows with time: rows are appended to the index.
CREATE INDEX perdure_run_id ON perdure_run (substr(run_id, 1, 6)) WHERE kind = 0;
CREATE INDEX perdure_run_execution ON perdure_run (namespace, execution_time_ns)
    WHERE kind = 0 AND execution_time_ns IS NOT NULL;
CREATE INDEX perdure_run_length ON perdure_run (namespace, history_length, status)
    WHERE kind = 0 AND history_length IS NOT NULL;
CREATE INDEX perdure_run_size ON perdure_run (namespace, history_size_bytes, status)
    WHERE kind = 0 AND history_size_bytes IS NOT NULL;
CREATE INDEX perdure_run_transitions ON perdure_run (namespace, state_transitions, status)
    WHERE kind = 0 AND state_transitions IS NOT NULL;
CREATE INDEX perdure_run_duration ON perdure_run (
    namespace, max(0, close_time_ns - coalesce(execution_time_ns, start_time_ns)), status
) WHERE kind = 0 AND close_time_ns > 0;
CREATE INDEX perdure_run_parent ON perdure_run (namespace, parent_workflow_id)
    WHERE kind = 0 AND parent_workflow_id IS NOT NULL;
CREATE INDEX perdure_run_parent_run ON perdure_run (namespace, parent_run_id)
    WHERE kind = 0 AND parent_run_id IS NOT NULL;
CREATE INDEX perdure_run_root ON perdure_run (namespace, root_workflow_id)
    WHERE kind = 0 AND root_workflow_id IS NOT NULL;
CREATE INDEX perdure_run_root_run ON perdure_run (namespace, root_run_id)
    WHERE kind = 0 AND root_run_id IS NOT NULL;

-- Values of search attributes, with the status and place of workflows. What is no workflow has a status below 0 here.
DROP INDEX perdure_attribute_run;
ALTER TABLE perdure_attribute RENAME TO perdure_attribute_before;
CREATE TABLE perdure_attribute (
    namespace       INTEGER NOT NULL,
    attribute       TEXT NOT NULL,
    value           ANY NOT NULL,
    status          INTEGER NOT NULL,
    place_ns        INTEGER NOT NULL,
    run             INTEGER NOT NULL,
    PRIMARY KEY (namespace, attribute, value, status, place_ns, run)
) STRICT, WITHOUT ROWID;
INSERT INTO perdure_attribute
SELECT a.namespace, a.attribute, a.value, iif(r.kind = 0, r.status, -r.kind), r.place_ns, a.run
FROM perdure_attribute_before a JOIN perdure_run r ON r.run = a.run;
DROP TABLE perdure_attribute_before;
CREATE INDEX perdure_attribute_run ON perdure_attribute (run, attribute);

-- Lists of build ids that many runs have: those of the workers. A run names its list by this number; lists that came
-- when there were many already are in its row, as all were before.
CREATE TABLE perdure_build_list (
    number          INTEGER PRIMARY KEY,
    build_ids       TEXT NOT NULL UNIQUE
) STRICT;
ALTER TABLE perdure_run ADD COLUMN build_list INTEGER;
