"""Monitors that track whether nodes are reachable."""
