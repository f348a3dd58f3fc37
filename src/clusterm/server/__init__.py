"""The HTTP server: process, sockets, TLS, middleware and errors."""
