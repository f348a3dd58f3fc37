"""Process a job's output, from bytes to stored lines and task results."""
