"""Read and follow the logs of jobs."""
