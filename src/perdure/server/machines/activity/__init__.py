"""The attempts of an activity, and when there is another one."""
