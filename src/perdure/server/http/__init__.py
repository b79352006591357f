"""The API over HTTP: calls as JSON, an OpenAPI document, and metrics.

Everything follows from the descriptors of the services: which paths there are (`bindings`), how
messages look as JSON (`transcoding`), what the document says (`openapi`). `api` answers requests,
`listener` has the sockets. The listener imports the rest when the first connection comes, so that a
server starts no slower for it.
"""
