"""The HTTP server: listening, connections, HTTP/2, middleware."""
