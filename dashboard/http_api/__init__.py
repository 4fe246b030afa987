"""The HTTP API for scripts on other machines: what the pages do, by a bearer token, as JSON."""
