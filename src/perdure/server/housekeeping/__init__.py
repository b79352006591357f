"""What the server does in the background, by what is stored: deleting runs whose time is over,
taking deleted namespaces apart, carrying out batch operations.

Nothing of it is remembered but in the store, so all of it goes on after a crash.
"""
