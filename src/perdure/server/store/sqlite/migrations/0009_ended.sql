-- Version 9. When runs of other things than workflows ended: their close_time_ns is the negative of that time, so that
-- lists and counts of workflows still need not look at the kind. NULL while they go on.

CREATE INDEX perdure_run_ended ON perdure_run (namespace, close_time_ns) WHERE close_time_ns < 0;
