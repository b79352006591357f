"""The life of each command: one small state machine per kind, written as a table.

A machine is made when the workflow's code asks for something. It sends its command through the
`Outlet`, is fed the events that mirror the command and those that resolve it, and tells the code
through the callbacks that it was made with. An event for which the table has no row means that the
code no longer matches its history: `Mismatch`.

Every machine has three members, the `CommandMachine` of `port.py`.
"""
