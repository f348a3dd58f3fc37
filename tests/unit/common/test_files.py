"""Files that are read without waiting for them."""

import os
from pathlib import Path

import pytest

from clusterm.common.files import read_regular


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
