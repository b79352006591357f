-- Every statement of the adapter but the schema's. Each starts with a line that names it.

-- name: range
SELECT range_id FROM perdure_shard WHERE shard = ?;

-- name: acquire
INSERT INTO perdure_shard (shard, range_id) VALUES (?, 1)
ON CONFLICT (shard) DO UPDATE SET range_id = range_id + 1
RETURNING range_id;

-- name: raise_marks
UPDATE perdure_shard
SET run_max = max(run_max, ?), turn_max = max(turn_max, ?), outbox_max = max(outbox_max, ?)
WHERE shard = ?;

-- name: settle
-- Takes the place in the log of a commit that failed half-way, so that this one can never come back.
UPDATE perdure_schema SET settlements = settlements + 1;

-- name: last_numbers
SELECT coalesce(max(run_max), 0), coalesce(max(turn_max), 0), coalesce(max(outbox_max), 0)
FROM perdure_shard;

-- name: uncurrent
UPDATE perdure_run SET is_current = 0
WHERE namespace = ? AND workflow_id = ? AND kind = ? AND is_current = 1;

-- name: make_current
UPDATE perdure_run SET is_current = 1 WHERE run = ?;

-- name: insert_run
INSERT INTO perdure_run (
    run, shard, namespace, is_current, version, turn, wake_at_ns, may_hold_tasks, workflow_id, run_id,
    head, status, start_time_ns, close_time_ns, workflow_type, execution_time_ns, task_queue, history_length,
    history_size_bytes, state_transitions, parent_workflow_id, parent_run_id, root_workflow_id, root_run_id, build_ids,
    build_list, kind, reserve
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, zeroblob(48));

-- name: update_run
UPDATE perdure_run
SET version = ?, turn = ?, wake_at_ns = ?, may_hold_tasks = ?, head = ?, reserve = NULL
WHERE run = ?;

-- name: update_visible_run
UPDATE perdure_run
SET version = ?, turn = ?, wake_at_ns = ?, may_hold_tasks = ?, head = ?, reserve = NULL,
    status = ?, start_time_ns = ?, close_time_ns = ?, workflow_type = ?, execution_time_ns = ?, task_queue = ?,
    history_length = ?, history_size_bytes = ?, state_transitions = ?, parent_workflow_id = ?, parent_run_id = ?,
    root_workflow_id = ?, root_run_id = ?, build_ids = ?, build_list = ?
WHERE run = ?;

-- name: insert_history
INSERT INTO perdure_history (run, first_event_id, last_event_id, size_bytes, batch) VALUES (?, ?, ?, ?, ?);

-- name: copy_history
INSERT INTO perdure_history (run, first_event_id, last_event_id, size_bytes, batch)
SELECT ?2, first_event_id, last_event_id, size_bytes, batch FROM perdure_history
WHERE run = ?1 AND first_event_id > ?3 AND last_event_id <= ?4 ORDER BY first_event_id LIMIT ?5
RETURNING last_event_id;

-- name: put_leftover
INSERT OR IGNORE INTO perdure_leftover (run) VALUES (?);

-- name: delete_leftover
DELETE FROM perdure_leftover WHERE run = ?;

-- name: leftovers
SELECT run FROM perdure_leftover ORDER BY run;

-- name: is_leftover
SELECT 1 FROM perdure_leftover WHERE run = ?;

-- name: clear_history
DELETE FROM perdure_history WHERE place IN (
    SELECT place FROM perdure_history WHERE run = ?1 ORDER BY first_event_id LIMIT ?2
);

-- name: clear_records
DELETE FROM perdure_record WHERE (run, kind, key) IN (
    SELECT run, kind, key FROM perdure_record WHERE run = ?1 LIMIT ?2
);

-- name: delete_run
DELETE FROM perdure_run WHERE run = ?;

-- name: delete_dispatch_of_run
DELETE FROM perdure_dispatch WHERE run = ?;

-- name: put_record
INSERT OR REPLACE INTO perdure_record (run, kind, key, content) VALUES (?, ?, ?, ?);

-- name: delete_record
DELETE FROM perdure_record WHERE run = ? AND kind = ? AND key = ?;

-- name: put_dispatch
INSERT OR REPLACE INTO perdure_dispatch (
    run, event_id, namespace, queue, kind, priority, ready_at_ns, stamp, directive
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: delete_dispatch
DELETE FROM perdure_dispatch WHERE run = ? AND event_id = ?;

-- name: insert_outbox
INSERT INTO perdure_outbox (sequence, shard, run, content) VALUES (?, ?, ?, ?);

-- name: delete_outbox
DELETE FROM perdure_outbox WHERE sequence = ?;

-- name: put_namespace
INSERT INTO perdure_namespace (name, settings) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET settings = excluded.settings
RETURNING number, name, settings;

-- name: namespaces
SELECT number, name, settings FROM perdure_namespace
WHERE NOT (length(settings) = 0 AND name = char(1) || number) ORDER BY number;

-- name: rename_namespace
UPDATE perdure_namespace SET name = ?, settings = ? WHERE number = ?;

-- name: drop_namespace
-- What tells it from others is both: no name, and no settings.
UPDATE perdure_namespace SET name = char(1) || number, settings = zeroblob(0) WHERE number = ?;

-- name: drop_queue_configs
DELETE FROM perdure_task_queue WHERE namespace = ?;

-- name: drop_named
DELETE FROM perdure_named WHERE namespace = ?;

-- name: drop_batches
DELETE FROM perdure_batch WHERE namespace = ?;

-- name: batches
SELECT namespace, job_id, state FROM perdure_batch ORDER BY namespace, job_id;

-- name: put_batch
INSERT OR REPLACE INTO perdure_batch (namespace, job_id, state) VALUES (?, ?, ?);

-- name: delete_batch
DELETE FROM perdure_batch WHERE namespace = ? AND job_id = ?;

-- name: closed_runs
-- Of workflows, by each status that closed ones have, and of what is none: its time is negative.
SELECT * FROM (
    SELECT place_ns, run, namespace, workflow_id, run_id, kind FROM perdure_run
    WHERE namespace = ?1 AND kind = 0 AND status = 2 AND place_ns >= ?2 AND place_ns < ?3 AND (place_ns, run) > (?2, ?4)
    ORDER BY place_ns, run LIMIT ?5
)
UNION ALL
SELECT * FROM (
    SELECT place_ns, run, namespace, workflow_id, run_id, kind FROM perdure_run
    WHERE namespace = ?1 AND kind = 0 AND status = 3 AND place_ns >= ?2 AND place_ns < ?3 AND (place_ns, run) > (?2, ?4)
    ORDER BY place_ns, run LIMIT ?5
)
UNION ALL
SELECT * FROM (
    SELECT place_ns, run, namespace, workflow_id, run_id, kind FROM perdure_run
    WHERE namespace = ?1 AND kind = 0 AND status = 4 AND place_ns >= ?2 AND place_ns < ?3 AND (place_ns, run) > (?2, ?4)
    ORDER BY place_ns, run LIMIT ?5
)
UNION ALL
SELECT * FROM (
    SELECT place_ns, run, namespace, workflow_id, run_id, kind FROM perdure_run
    WHERE namespace = ?1 AND kind = 0 AND status = 5 AND place_ns >= ?2 AND place_ns < ?3 AND (place_ns, run) > (?2, ?4)
    ORDER BY place_ns, run LIMIT ?5
)
UNION ALL
SELECT * FROM (
    SELECT place_ns, run, namespace, workflow_id, run_id, kind FROM perdure_run
    WHERE namespace = ?1 AND kind = 0 AND status = 6 AND place_ns >= ?2 AND place_ns < ?3 AND (place_ns, run) > (?2, ?4)
    ORDER BY place_ns, run LIMIT ?5
)
UNION ALL
SELECT * FROM (
    SELECT place_ns, run, namespace, workflow_id, run_id, kind FROM perdure_run
    WHERE namespace = ?1 AND kind = 0 AND status = 7 AND place_ns >= ?2 AND place_ns < ?3 AND (place_ns, run) > (?2, ?4)
    ORDER BY place_ns, run LIMIT ?5
)
UNION ALL
SELECT * FROM (
    SELECT -close_time_ns, run, namespace, workflow_id, run_id, kind FROM perdure_run
    WHERE namespace = ?1 AND close_time_ns < 0 AND close_time_ns <= -?2 AND close_time_ns > -?3
        AND (-close_time_ns, run) > (?2, ?4)
    ORDER BY close_time_ns DESC, run LIMIT ?5
)
ORDER BY 1, 2 LIMIT ?5;

-- name: run_version
SELECT version, turn FROM perdure_run WHERE run = ?;

-- name: any_current
SELECT 1 FROM perdure_run WHERE namespace = ? AND workflow_id = ? AND kind = ? AND is_current = 1;

-- name: load_current
SELECT run, namespace, workflow_id, run_id, kind, version, turn, head, wake_at_ns, is_current FROM perdure_run
WHERE namespace = ?1 AND workflow_id = ?2 AND kind = ?3 AND is_current = 1;

-- name: load_run
SELECT run, namespace, workflow_id, run_id, kind, version, turn, head, wake_at_ns, is_current FROM perdure_run
WHERE namespace = ?1 AND workflow_id = ?2 AND run_id = ?3 AND kind = ?4 AND is_current = 1
UNION ALL
SELECT run, namespace, workflow_id, run_id, kind, version, turn, head, wake_at_ns, is_current FROM perdure_run
WHERE namespace = ?1 AND workflow_id = ?2 AND run_id = ?3 AND kind = ?4 AND is_current = 0;

-- name: load_number
SELECT run, namespace, workflow_id, run_id, kind, version, turn, head, wake_at_ns, is_current FROM perdure_run
WHERE run = ?;

-- name: records
SELECT kind, key, content FROM perdure_record WHERE run = ? ORDER BY kind, key;

-- name: record
SELECT content FROM perdure_record WHERE run = ? AND kind = ? AND key = ?;

-- name: history
SELECT first_event_id, last_event_id, size_bytes, batch FROM perdure_history
WHERE run = ?1 AND first_event_id <= ?3 AND last_event_id >= ?2
    AND first_event_id >= coalesce(
        (SELECT max(first_event_id) FROM perdure_history WHERE run = ?1 AND first_event_id <= ?2), ?2)
ORDER BY first_event_id;

-- name: due
SELECT wake_at_ns, run FROM perdure_run
WHERE shard = ? AND wake_at_ns IS NOT NULL AND wake_at_ns <= ?
ORDER BY wake_at_ns, run LIMIT ?;

-- name: next_wake
SELECT wake_at_ns FROM perdure_run WHERE shard = ? AND wake_at_ns IS NOT NULL ORDER BY wake_at_ns LIMIT 1;

-- name: next_queue
SELECT namespace, queue, kind FROM perdure_dispatch
WHERE (namespace, queue, kind) > (?, ?, ?)
ORDER BY namespace, queue, kind LIMIT 1;

-- name: backlog
SELECT run, event_id, namespace, queue, kind, priority, ready_at_ns, stamp, directive FROM perdure_dispatch
WHERE namespace = ? AND queue = ? AND kind = ? AND (priority, ready_at_ns, run, event_id) > (?, ?, ?, ?)
ORDER BY priority, ready_at_ns, run, event_id LIMIT ?;

-- name: backlog_parts
SELECT priority, count(*), min(ready_at_ns) FROM perdure_dispatch
WHERE namespace = ? AND queue = ? AND kind = ? GROUP BY priority ORDER BY priority;

-- name: queue_configs
SELECT namespace, queue, kind, config FROM perdure_task_queue ORDER BY namespace, queue, kind;

-- name: put_queue_config
INSERT OR REPLACE INTO perdure_task_queue (namespace, queue, kind, config) VALUES (?, ?, ?, ?);

-- name: named
SELECT kind, namespace, name, content FROM perdure_named WHERE kind = ? ORDER BY namespace, name;

-- name: put_named
INSERT OR REPLACE INTO perdure_named (kind, namespace, name, content) VALUES (?, ?, ?, ?);

-- name: delete_named
DELETE FROM perdure_named WHERE kind = ? AND namespace = ? AND name = ?;

-- name: outbox
SELECT sequence, run, content FROM perdure_outbox WHERE sequence > ? ORDER BY sequence LIMIT ?;

-- name: started_runs
SELECT run FROM perdure_run WHERE close_time_ns = 0 AND run > ? ORDER BY run LIMIT ?;

-- name: runs_held
-- The column bears the name of the first of its bits.
SELECT run FROM perdure_run INDEXED BY perdure_run_wake
WHERE shard = ? AND wake_at_ns IS NOT NULL AND may_hold_tasks & ? <> 0 AND run > ? ORDER BY run LIMIT ?;

-- name: list_few
-- {runs} are all that pass, {order} of what they have.
SELECT r.close_time_ns, r.start_time_ns, r.run, r.namespace, r.workflow_id, r.run_id, r.head
FROM (
    SELECT *, status IN (1, 8) AS is_open FROM ({runs}) WHERE {after} ORDER BY {order} LIMIT ?
) f
CROSS JOIN perdure_run r ON r.run = f.run ORDER BY {order_of_all};

-- name: list_status
-- One status of an index that is in order of place.
SELECT {place} AS place, {run} AS run, r.close_time_ns, r.start_time_ns, r.namespace, r.workflow_id, r.run_id, r.head
FROM {table}
WHERE {where} AND {status} = ? AND {place} >= ? AND {place} <= ? AND ({place} < ? OR {run} < ?) AND {rest}

-- name: list_started
SELECT r.close_time_ns, r.start_time_ns, r.run, r.namespace, r.workflow_id, r.run_id, r.head
FROM perdure_run r INDEXED BY perdure_run_start
WHERE r.namespace = ? AND r.kind = 0 AND r.start_time_ns >= ? AND r.start_time_ns <= ? AND {after} AND r.status IN ({statuses}) AND {rest}
ORDER BY r.start_time_ns {direction}, r.run DESC LIMIT ?;

-- name: list_kind
-- Of what is no workflow: its close_time_ns is negative, or NULL while it is open, and so it is in no other list.
SELECT 0, r.start_time_ns, r.run, r.namespace, r.workflow_id, r.run_id, r.head FROM perdure_run r
WHERE r.namespace = ? AND r.kind = ? AND r.kind > 0 AND (r.start_time_ns, r.run) < (?, ?) AND {filter}
ORDER BY r.start_time_ns DESC, r.run DESC LIMIT ?;

-- name: list_ordered
SELECT * FROM (
    SELECT abs(coalesce(r.close_time_ns, 0)), r.start_time_ns, r.run, r.namespace, r.workflow_id, r.run_id, r.head, {keys}
    FROM {source} WHERE {filter}
) WHERE {after} ORDER BY {order} LIMIT ?;

-- name: count_runs
SELECT {group}, count(*) FROM {source} WHERE {filter} GROUP BY 1 LIMIT ?;

-- name: count_status
SELECT count(*) FROM perdure_run INDEXED BY perdure_run_listed WHERE namespace = ? AND kind = 0 AND status = ?;

-- name: delete_attributes
DELETE FROM perdure_attribute WHERE run = ?;

-- name: put_attribute
INSERT OR IGNORE INTO perdure_attribute (namespace, attribute, value, status, place_ns, run)
VALUES (?, ?, ?, ?, ?, ?);

-- name: build_lists
SELECT build_ids, number FROM perdure_build_list;

-- name: put_build_list
INSERT OR IGNORE INTO perdure_build_list (build_ids) VALUES (?);
