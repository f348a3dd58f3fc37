"""Names of the files in a job's directory."""

from typing import Final

LOG: Final = "executor.log"
"""What a job's executors write, in the job's directory."""

FORWARDED: Final = "passed_on"
"""How far that, and the job's log, was passed on."""
