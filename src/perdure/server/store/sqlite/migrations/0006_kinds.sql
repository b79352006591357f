-- Version 6. Runs of other things than workflows (kind 0): their close_time_ns is NULL, so that lists and counts of
-- workflows need not look at the kind.

ALTER TABLE perdure_run ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
CREATE INDEX perdure_run_kind ON perdure_run (namespace, kind, start_time_ns, run) WHERE kind > 0;
