-- Version 3. Numbers of runs that do not exist but have records or history: a reset copies history before it decides, and
-- a deleted run's rows go in pieces. Read when the shard is opened, so that neither is left half done for ever.

CREATE TABLE perdure_leftover (
    run             INTEGER PRIMARY KEY
) STRICT;
