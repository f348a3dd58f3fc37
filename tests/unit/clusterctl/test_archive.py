"""Writing of archives."""

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from clusterctl import archive
from clusterctl.errors import CannotWrite, Usage


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with (
        pytest.raises(CannotWrite, match="No space left on device"),
        archive.written(str(tmp_path / "x.tar.gz"), force=False) as packed,
    ):
        packed.add("x", ["x"])
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_not_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(Usage, match="terminal"), archive.written("-", force=False):
        pass
