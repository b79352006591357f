"""Batch operations: one operation on many workflows, paced, in the background, to be watched and
stopped."""
