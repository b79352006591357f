"""Worker deployments: their versions, and where new work goes.

A deployment is small, has no history and is asked by every queue of its workers, so it is no
workflow of the server's own (as on the real server) but a struct that is kept whole: each change is
made on a copy, written as one row, and known to the queues when it is durable.
"""
