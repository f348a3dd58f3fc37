"""The service's background threads."""
