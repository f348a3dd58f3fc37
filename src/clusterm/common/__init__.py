"""Helpers that need only the standard library, shared with `clusterctl`."""
