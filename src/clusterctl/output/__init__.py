"""Prints results as tables, JSON, YAML or CSV."""
