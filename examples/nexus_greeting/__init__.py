"""Two teams: one offers Nexus operations, the other calls them."""
