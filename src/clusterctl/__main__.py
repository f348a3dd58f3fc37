"""The program clusterctl."""

import gc
import signal
import sys

from clusterm.common.standard_streams import replace_closed


def main() -> int:
    """Run clusterctl with the process's arguments, and return its exit code."""
    replace_closed()
    try:
        gc.disable()  # importing allocates much and frees little
        from clusterctl.run import run  # noqa: PLC0415 -- Ctrl-C may come while this loads

        gc.freeze()
        gc.set_threshold(100_000)  # so does parsing a large response
        gc.enable()
        return run()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
