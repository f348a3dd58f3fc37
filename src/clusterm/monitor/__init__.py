"""Who tells us that a node is there."""
