"""The official SDK's worker and client, run against our server and the real one, compared."""
