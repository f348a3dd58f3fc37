"""Encryption of stored variables and masking of secrets in output."""
