"""Files that are read without waiting, and files of which a part is released."""

import os
from pathlib import Path

import pytest

from clusterm.common.files import read_regular, release_space


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    file, fifo = tmp_path / "file", tmp_path / "fifo"
    file.write_bytes(b"content")
    os.mkfifo(fifo)
    (tmp_path / "link").symlink_to(file)
    assert read_regular(file) == read_regular(tmp_path / "link") == b"content"
    for other, reason in ((fifo, "not a regular file"), (Path("/dev/zero"), "not a regular"), (tmp_path, "directory")):
        with pytest.raises(OSError, match=reason) as refused:
            read_regular(other)
        assert refused.value.filename == str(other)


def test_the_space_of_a_part_is_returned_and_the_rest_remains(tmp_path: Path) -> None:
    file = tmp_path / "output"
    content = os.urandom(300_000)
    file.write_bytes(content)
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())
        before = file.stat()
        release_space(opened.fileno(), 4095)
        assert file.read_bytes() == content
        release_space(opened.fileno(), 200_000)
        release_space(opened.fileno(), -1)
    after = file.stat()
    assert after.st_size == before.st_size
    assert (before.st_blocks - after.st_blocks) * 512 == 200_000 // 4096 * 4096
    assert file.read_bytes()[200_000:] == content[200_000:]
