"""What a power cut leaves of a directory: of each file its content at its last fsync, and the names that were written.

A file's fsync also writes its name and those of the directories above it, as ext4, XFS and btrfs do; other names are
written by the fsync of their directory alone. `faults.c` records both.
"""

import os
import random
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(eq=False)
class _Object:
    """A file or a directory on the disk."""

    content: Path | None = None
    """Copy of its content; None for a file that was never written to the disk."""
    entries: dict[str, "_Object"] | None = None
    """Its entries, if it is a directory."""


@dataclass
class Disk:
    """The contents of a disk, for one directory. It is made before anything is changed, and then follows the journal.

    Args:
        root: the directory.
        directory: the directory of the injector, with the journal and copies.
    """

    root: Path
    directory: Path
    _objects: dict[int, _Object] = field(default_factory=dict)  # by inode
    _top: _Object = field(default_factory=lambda: _Object(entries={}))

    def __post_init__(self) -> None:
        shutil.rmtree(self.directory / "copies")
        (self.directory / "copies").mkdir()
        (self.directory / "journal").unlink(missing_ok=True)
        self._load(self.root, self._top)

    def _load(self, directory: Path, into: _Object) -> None:
        for entry in directory.iterdir():
            found = entry.lstat()
            thing = self._objects[found.st_ino] = _Object()
            assert into.entries is not None
            into.entries[entry.name] = thing
            if stat.S_ISDIR(found.st_mode):
                thing.entries = {}
                self._load(entry, thing)
            elif stat.S_ISREG(found.st_mode):
                thing.content = self.directory / "copies" / f"first-{found.st_ino}"
                shutil.copyfile(entry, thing.content)

    def cut(self, dice: random.Random | None) -> None:
        """Replace the directory by what a power cut leaves of it. No process may use it.

        Args:
            dice: decide for each file, and for all names together, whether the kernel had written them by itself;
                None if it had written nothing.
        """
        journal = self.directory / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        self._replay(lines)
        former = self.root.rename(self.root.with_name("former"))
        self.root.mkdir(mode=0o700)
        if dice is not None and dice.random() < 0.5:
            self._restore_named(former, dice)
        else:
            self._restore(self._top, self.root, former, dice)
        shutil.rmtree(former)

    def _replay(self, lines: list[str]) -> None:
        rest = iter(lines)
        for line in rest:
            kind, _, text = line.partition(" ")
            if kind == "N":
                self._objects.pop(int(text), None)
            elif kind == "F":
                copy, _, chain = text.partition(" ")
                thing = self._follow(chain, is_directory=False)
                thing.content = self.directory / "copies" / copy
            elif kind == "D":
                folder = self._follow(text, is_directory=True)
                folder.entries = {}
                for entry in iter(lambda: next(rest), "."):
                    _, kind, inode, name = entry.split(" ", 3)
                    if kind == "o":  # FIFOs and sockets are of no use to the next process
                        continue
                    thing = folder.entries[name] = self._objects.setdefault(int(inode), _Object())
                    if kind == "d" and thing.entries is None:
                        thing.entries = {}

    def _follow(self, chain: str, *, is_directory: bool) -> _Object:
        """Return the object at the end of a chain of inodes, after the names on the way to it were written."""
        *inodes, path = chain.split(" ")
        names = Path(path).relative_to(self.root).parts
        thing = self._top
        for depth, (inode, name) in enumerate(zip(inodes, names, strict=True), start=1):
            child = self._objects.setdefault(int(inode), _Object())
            if depth < len(names) or is_directory:
                child.entries = {} if child.entries is None else child.entries
            assert thing.entries is not None
            if thing.entries.get(name) is not child:
                self._forget(child, self._top)  # it was renamed
                thing.entries[name] = child
            thing = child
        return thing

    def _forget(self, thing: _Object, below: _Object) -> None:
        for name, entry in list((below.entries or {}).items()):
            if entry is thing:
                assert below.entries is not None
                del below.entries[name]
            else:
                self._forget(thing, entry)

    def _restore(self, thing: _Object, to: Path, former: Path, dice: random.Random | None) -> None:
        """Write the entries of a directory as they are on the disk."""
        present = {entry.lstat().st_ino: entry for entry in former.rglob("*")} if dice is not None else {}
        by_object = {id(found): inode for inode, found in self._objects.items()}
        self._restore_entries(thing, to, present, by_object, dice)

    def _restore_entries(
        self,
        thing: _Object,
        to: Path,
        present: dict[int, Path],
        by_object: dict[int, int],
        dice: random.Random | None,
    ) -> None:
        for name, entry in (thing.entries or {}).items():
            target = to / name
            if entry.entries is not None:
                target.mkdir(mode=0o700)
                self._restore_entries(entry, target, present, by_object, dice)
                continue
            current = present.get(by_object.get(id(entry), 0))
            if current is not None and not current.is_file():
                continue
            _restore_file(target, _choose(entry.content, current, dice))

    def _restore_named(self, former: Path, dice: random.Random) -> None:
        """Write all names as they were at last, with contents as the dice decide."""
        for folder, _, files in os.walk(former):
            here = self.root / Path(folder).relative_to(former)
            here.mkdir(mode=0o700, exist_ok=True)
            for name in files:
                current = Path(folder) / name
                if current.is_file():
                    thing = self._objects.get(current.lstat().st_ino)
                    _restore_file(here / name, _choose(thing.content if thing else None, current, dice))


def _choose(durable: Path | None, current: Path | None, dice: random.Random | None) -> Path | None:
    if dice is not None and current is not None and dice.random() < 0.5:
        return current
    return durable


def _restore_file(target: Path, content: Path | None) -> None:
    target.touch(mode=0o600)
    if content is not None and not target.name.endswith("-shm"):  # which SQLite makes from the WAL
        shutil.copyfile(content, target)
