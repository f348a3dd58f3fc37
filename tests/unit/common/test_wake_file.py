"""The file over which executors call the service."""

import os
from pathlib import Path

import pytest

from clusterm.common import wake_file


def test_the_reader_learns_which_jobs_have_something_new(tmp_path: Path) -> None:
    descriptor = wake_file.listen(tmp_path)
    for job in (7, 2**40, 7):
        wake_file.ring(tmp_path, job)

    assert set(wake_file.jobs(descriptor)) == {7, 2**40}
    assert list(wake_file.jobs(descriptor)) == []
    assert (tmp_path / wake_file.NAME).stat().st_mode & 0o777 == 0o600
    os.close(descriptor)


def test_a_second_reader_uses_the_same_file(tmp_path: Path) -> None:
    os.close(wake_file.listen(tmp_path))
    descriptor = wake_file.listen(tmp_path)
    wake_file.ring(tmp_path, 1)
    assert list(wake_file.jobs(descriptor)) == [1]
    os.close(descriptor)


def test_a_call_without_a_reader_is_dropped(tmp_path: Path) -> None:
    wake_file.ring(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []

    os.close(wake_file.listen(tmp_path))
    wake_file.ring(tmp_path, 1)


def test_a_reader_that_does_not_read_holds_up_nothing(tmp_path: Path) -> None:
    descriptor = wake_file.listen(tmp_path)
    for job in range(20_000):  # more than the file can hold
        wake_file.ring(tmp_path, job)

    assert list(wake_file.jobs(descriptor))
    os.close(descriptor)


def test_another_file_in_its_place_is_not_written_to(tmp_path: Path) -> None:
    file = tmp_path / wake_file.NAME
    file.write_text("mine")
    wake_file.ring(tmp_path, 1)
    with pytest.raises(FileExistsError):
        wake_file.listen(tmp_path)
    assert file.read_text() == "mine"


def test_a_message_that_is_cut_off_is_ignored(tmp_path: Path) -> None:
    descriptor = wake_file.listen(tmp_path)
    os.write(descriptor, b"abc")
    assert list(wake_file.jobs(descriptor)) == []
    os.close(descriptor)
