"""The workflow machine: the life of everything that one workflow id names."""
