"""`perdure worker`: runs a worker, shows those that there are, and routes between versions."""
