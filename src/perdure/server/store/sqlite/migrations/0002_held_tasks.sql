-- Version 2. Which runs workers may hold tasks of: read once, by an engine that knows its workers to be dead.
--
-- It is one more column of an index that is written anyway, since held tasks time out and so such a run has a wake-up:
-- a million sleeping runs are passed over within it, and no other index is kept for them.

ALTER TABLE perdure_run ADD COLUMN may_hold_tasks INTEGER NOT NULL DEFAULT 0;
-- Nobody knows it of the runs that are there.
UPDATE perdure_run SET may_hold_tasks = 1 WHERE close_time_ns = 0;

DROP INDEX perdure_run_started;
DROP INDEX perdure_run_wake;
CREATE INDEX perdure_run_wake ON perdure_run (shard, wake_at_ns, may_hold_tasks) WHERE wake_at_ns IS NOT NULL;
