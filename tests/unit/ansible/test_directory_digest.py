"""The digest of a directory of playbooks: it changes with each file, and no file makes it fail or wait."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from clusterm.ansible import directory_digest
from clusterm.ansible.directory_digest import DirectoryDigest


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    (site / "roles/web/tasks").mkdir(parents=True)
    (site / "site.yml").write_text("- hosts: all\n")
    (site / "roles/web/tasks/main.yml").write_text("- debug:\n")
    (site / "link").symlink_to("site.yml")
    return site


def point(link: Path, target: str) -> None:
    """Change the target of a symbolic link."""
    link.unlink()
    link.symlink_to(target)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda site: (site / "site.yml").write_text("- hosts: ALL\n"),
    "file": lambda site: (site / "roles/web/new.yml").write_text(""),
    "removal": lambda site: (site / "roles/web/tasks/main.yml").unlink(),
    "mode": lambda site: (site / "site.yml").chmod(0o755),
    "rename": lambda site: (site / "site.yml").rename(site / "other.yml"),
    "link": lambda site: point(site / "link", "roles"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_a_file_changes_the_digest(site: Path, change: str) -> None:
    known = DirectoryDigest(site)
    before = known.compute()
    assert before.digest == known.compute().digest == DirectoryDigest(site).compute().digest
    CHANGES[change](site)
    after = known.compute()
    assert after.digest not in {before.digest, None}
    assert after.digest == DirectoryDigest(site).compute().digest


def test_files_that_a_run_writes_do_not_count(site: Path) -> None:
    before = DirectoryDigest(site).compute()
    for name in (".git/HEAD", "library/__pycache__/x.pyc", "site.retry"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("x")
    assert DirectoryDigest(site).compute().digest == before.digest
    assert set(before.files) == {"site.yml", "roles/web/tasks/main.yml", "link"}


def test_links_pipes_sockets_and_large_files_are_neither_followed_nor_read(site: Path) -> None:
    (site / "loop").symlink_to(site)
    (site / "nowhere").symlink_to("/does/not/exist")
    os.mkfifo(site / "pipe")
    (site / os.fsdecode(b"\xff.yml")).write_text("")
    with (site / "image.iso").open("wb") as large:
        large.truncate(1 << 40)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(site / "socket"))
        contents = DirectoryDigest(site).compute()
    assert contents.digest
    assert (contents.reason, contents.unread) == (None, [])
    assert {"loop", "nowhere", "pipe", "socket", "image.iso", "\\xff.yml"} < set(contents.files)


def test_what_cannot_be_read_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """root can read every file, so that the error is made here."""

    def refuse(path: str, *args: int) -> int:
        if path.endswith("site.yml"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args)

    real = os.open
    monkeypatch.setattr(os, "open", refuse)
    contents = DirectoryDigest(site).compute()
    assert contents.unread == ["site.yml"]
    assert contents.digest
    assert DirectoryDigest(site / "missing").compute().unread == ["."]


def test_a_directory_beyond_a_bound_has_a_reason_in_place_of_a_digest(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = DirectoryDigest(site, max_seconds=-1).compute()
    assert (contents.digest, contents.reason) == (None, "it could not be read within -1 s")
    for name, bound, reason in (("MAX_ENTRIES", 2, "more than 2 files"), ("MAX_BYTES", 4, "more than 0 MiB")):
        with monkeypatch.context() as patch:
            patch.setattr(directory_digest, name, bound)
            assert DirectoryDigest(site).compute().reason == f"it has {reason}"


def test_unchanged_files_are_not_read_again(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = DirectoryDigest(site)
    before = known.compute()
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("read again"))
    assert known.compute().digest == before.digest
