"""Integration with ansible; independent of the store."""
