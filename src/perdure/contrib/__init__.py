"""What goes together with other packages, which have to be installed."""
