"""Settings of the Python interpreter that make the service faster."""

import gc
import sys
from typing import Final

_SWITCH_INTERVAL_S: Final = 0.0005
"""Time for which a busy thread may keep other threads from running Python.

sqlite3 releases the interpreter at each row, so while another thread stores a burst of reports, a read of thirty rows,
such as the timeline's, waits up to thirty times this long. Python's default is 0.005 s.
"""


def tune_interpreter() -> None:
    """Tune the interpreter of this process. Call it when everything that stays in memory has been loaded."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # exempts the loaded modules from each full collection, which takes 0.1 s with them
