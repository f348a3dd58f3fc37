"""Choose the locale of ansible, which starts only in a locale that is installed and whose encoding is UTF-8."""

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

_FALLBACK: Final = "C.UTF-8"
_VARIABLES: Final = ("LC_", "LANG", "LOCPATH", "PYTHON")
"""Start of the names of the variables that select a locale, or affect how Python does."""

_CHECK: Final = """
import locale, sys
locale.setlocale(locale.LC_ALL, "")
encodings = {locale.getlocale()[1] or "", sys.getfilesystemencoding()}
sys.exit(any(encoding.lower() not in ("utf-8", "utf8") for encoding in encodings))
"""
"""The check of ansible itself. It runs in another process, because setting the locale affects all threads."""


def utf8_locale(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to add to an environment in which ansible would not start; empty if it starts.

    Raises:
        OSError: the check cannot be run.
    """
    variables = tuple(sorted((name, value) for name, value in environment.items() if name.startswith(_VARIABLES)))
    return {} if _is_usable(variables) else {"LC_ALL": _FALLBACK}


@lru_cache(maxsize=8)
def _is_usable(variables: tuple[tuple[str, str], ...]) -> bool:
    others = {name: value for name, value in os.environ.items() if not name.startswith(_VARIABLES)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", _CHECK],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=others | dict(variables),
        check=False,
    )
    return done.returncode == 0
