"""What the handlers of Nexus operations answer."""
