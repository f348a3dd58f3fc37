"""Names of the files in a job's directory."""

from typing import Final

LOG: Final = "executor.log"
"""Log of a job's executors."""

FORWARDED: Final = "passed_on"
"""Position up to which the executors' log and the job's log were forwarded to the service's log."""
