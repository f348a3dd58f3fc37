"""What runs a job: deciding what to run, running it, reading its output, and keeping all that alive."""
