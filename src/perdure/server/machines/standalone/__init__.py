"""What executions without a workflow have in common: activities (`standalone_activity`) and Nexus
operations (`standalone_nexus`)."""
