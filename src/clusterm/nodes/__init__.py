"""Rules of the lifecycle and changes of nodes."""
