"""Tokens, roles, authentication and rate limits."""
