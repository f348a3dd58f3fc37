"""The file of a request to stop a job."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from clusterm.common import stop_file
from clusterm.common.stop_file import StopRequest

REQUEST = StopRequest("cancelled by ann", "ann", datetime(2026, 11, 22, 7, 31, 2, 5, tzinfo=UTC), cleanup=False)


def test_a_request_is_written_into_reserved_space(tmp_path: Path) -> None:
    stop_file.reserve(tmp_path)
    assert stop_file.read(tmp_path) is None
    (file,) = tmp_path.iterdir()
    size = file.stat().st_size
    stop_file.write(tmp_path, REQUEST)
    assert stop_file.read(tmp_path) == REQUEST
    again = StopRequest("short", "é" * 10_000, REQUEST.at, cleanup=True)
    stop_file.write(tmp_path, again)
    assert stop_file.read(tmp_path) == StopRequest("short", "é" * 500, REQUEST.at, cleanup=True)
    assert (file.stat().st_size, file.stat().st_mode & 0o777) == (size, 0o600)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"reason": 1}', b"\xff"])
def test_a_damaged_file_has_no_request(tmp_path: Path, content: bytes) -> None:
    stop_file.reserve(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert stop_file.read(tmp_path) is None


def test_a_job_of_an_earlier_version_has_no_file(tmp_path: Path) -> None:
    assert stop_file.read(tmp_path) is None
    with pytest.raises(FileNotFoundError):
        stop_file.write(tmp_path, REQUEST)
