"""Results of commands, and printing them as tables, JSON, YAML or CSV."""
