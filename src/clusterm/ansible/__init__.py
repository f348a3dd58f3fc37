"""Everything that depends on ansible; without the store."""
