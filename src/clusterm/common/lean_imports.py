"""Keeps libraries from loading what their callers do not use."""

import sys


def leave_out_httpx_command_line() -> None:
    """Let httpx load without its own command line, which brings click, rich and pygments wherever they are installed.

    For programs only: httpx handles the `ImportError`, which it also gets where these packages are missing.
    """
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
