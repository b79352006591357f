"""The pure state machines of the service: no clock, no dice, no I/O, no logging."""
