"""The command `clusterm`, one module per group of commands."""
