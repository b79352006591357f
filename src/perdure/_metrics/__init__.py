"""Where metrics go: the meter that records them, and what a runtime keeps of them."""
