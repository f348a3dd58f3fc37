"""What is read of a git work tree, with the real git."""

import os
import subprocess
from pathlib import Path

import pytest
from support.requirements import requires

from clusterm.ansible import git_work_tree
from clusterm.ansible.git_work_tree import read_work_tree

pytestmark = requires("git")


def git(directory: Path, *arguments: str) -> str:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *who, *arguments], cwd=directory, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of playbooks inside a repository."""
    site = tmp_path / "repository/ansible"
    site.mkdir(parents=True)
    (site / "site.yml").write_text("- hosts: all\n")
    (site.parent / "README").write_text("ours\n")
    git(site.parent, "init")
    git(site.parent, "add", ".")
    git(site.parent, "commit", "--message", "first")
    return site


def test_commit_branch_and_changes(site: Path) -> None:
    commit = git(site, "rev-parse", "HEAD")
    assert read_work_tree(site) == git_work_tree.WorkTree(commit, "main", dirty=False, changed=[])
    (site.parent / "README").write_text("changed, but no part of the playbooks\n")
    (site / "site.yml").write_text("- hosts: none\n")
    (site / "new file.yml").write_text("")
    git(site, "checkout", "--detach")
    found = read_work_tree(site)
    assert found == git_work_tree.WorkTree(commit, None, dirty=True, changed=["site.yml", "new file.yml"])


def test_a_directory_that_no_commit_has_is_in_no_work_tree(site: Path, tmp_path: Path) -> None:
    for directory in (site.parent / "other", tmp_path / "elsewhere", tmp_path / "empty"):
        directory.mkdir()
    git(tmp_path / "empty", "init")
    found = [read_work_tree(site.parent / "other"), read_work_tree(tmp_path / "empty")]
    assert [*found, read_work_tree(tmp_path / "missing")] == [None, None, None]


def test_a_repository_of_another_user_is_read(site: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for path in (site.parent, site.parent / ".git", site):
        os.chown(path, 12345, 12345)
    assert read_work_tree(site) is not None


def test_programs_that_the_repository_configures_are_not_run(site: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    git(site, "config", "core.fsmonitor", str(program))
    git(site, "config", "core.pager", str(program))
    found = read_work_tree(site)
    assert found is not None
    assert found.dirty is False
    assert not mark.exists()


def test_a_git_that_does_not_answer_is_killed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(git_work_tree, "MAX_SECONDS", 0.2)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert read_work_tree(site) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_work_tree(site) is None
