"""The executor process: `python -m clusterm.executor DIRECTORY`."""

import logging
import sys
from pathlib import Path

from clusterm import journal
from clusterm.executor.run import run
from clusterm.states import LogFormat, LogLevel

log = logging.getLogger(__name__)

if __name__ == "__main__":
    journal.set_up(LogFormat.JSON, LogLevel.INFO)
    try:
        run(Path(sys.argv[1]))
    except Exception as error:
        log.exception("the executor cannot go on")
        summary = (str(error).splitlines() or [""])[0]
        sys.exit(f"{type(error).__name__}: {summary}")  # the last words, which the supervisor passes on
