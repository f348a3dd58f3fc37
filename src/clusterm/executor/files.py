"""Names of the files in a job's directory."""

from typing import Final

LOG: Final = "executor.log"
"""What a job's executors write, in the job's directory."""

PASSED_ON: Final = "passed_on"
"""How far that, and the job's log, was passed on."""
