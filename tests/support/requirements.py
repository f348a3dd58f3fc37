"""Programs that tests need and that Python's packages do not bring."""

import os
import shutil

import pytest

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])  # sshd is in sbin


def requires(*programs: str) -> pytest.MarkDecorator:
    """Mark a test that needs programs: where one is absent it is skipped, but in CI it runs, and so fails."""
    absent = [program for program in programs if not shutil.which(program, path=_PATH)]
    return pytest.mark.skipif(
        bool(absent) and "CI" not in os.environ,
        reason=f"{' and '.join(absent)} not found; CONTRIBUTING.md says where to get it",
    )


def path_of(program: str) -> str:
    """Return the program's path; its bare name if it is absent."""
    return shutil.which(program, path=_PATH) or program
