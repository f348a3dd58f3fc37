"""The process that runs one job: steps, wrapper, output, locks."""
