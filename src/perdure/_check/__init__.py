"""The static check of workflow code: what would not replay, found by reading the source."""
