"""Where the state of workflows is kept: the port, and an adapter for each place."""
