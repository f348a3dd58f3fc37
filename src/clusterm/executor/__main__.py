"""The executor process: `python -m clusterm.executor DIRECTORY`."""

import logging
import sys
from pathlib import Path

from clusterm.common import service_log
from clusterm.enums import LogFormat, LogLevel
from clusterm.executor.job import run

log = logging.getLogger(__name__)

if __name__ == "__main__":
    service_log.configure(LogFormat.JSON, LogLevel.INFO)
    try:
        run(Path(sys.argv[1]))
    except Exception as error:
        log.exception("the executor failed")
        summary = (str(error).splitlines() or [""])[0]
        sys.exit(f"{type(error).__name__}: {summary}")  # the last line, which the supervisor quotes
