"""Manifests: the files of the playbooks and the collections that jobs ran with, stored once for all that have the same.

At most `MAX_FILES` files are kept, each with the first digits of its digest, which suffice to find that it differs.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy import delete, select
from sqlmodel import Session, col

from clusterm.store import tables

MAX_FILES: Final = 5000
_DIGITS: Final = 16
_MAX_LISTED: Final = 500


class ManifestContent(NamedTuple):
    """What a manifest lists."""

    files: Mapping[str, str] | None
    """Digests of the files, by path; None for too many files."""
    collections: Mapping[str, str]
    """Versions of the collections, by name."""


class PackedManifest(NamedTuple):
    """A manifest in the form in which it is stored."""

    digest: str
    content: bytes


class FileChanges(NamedTuple):
    """The files that differ between two manifests."""

    added: list[str]
    changed: list[str]
    removed: list[str]


def create(files: Mapping[str, str] | None, collections: Mapping[str, str]) -> PackedManifest:
    """Return the manifest of files and collections; None for files that are not known."""
    kept = None
    if files is not None and len(files) <= MAX_FILES:
        kept = shorten_digests(files)
    text = json.dumps([kept, dict(collections)], sort_keys=True).encode()
    return PackedManifest(hashlib.sha256(text).hexdigest(), zlib.compress(text))


def shorten_digests(files: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of files, by path, in the short form of a manifest."""
    return {name: hashlib.sha256(digest.encode()).hexdigest()[:_DIGITS] for name, digest in files.items()}


def store(session: Session, manifest: PackedManifest) -> None:
    """Store a manifest, unless it is stored already."""
    if session.get(tables.Manifest, manifest.digest) is None:
        session.add(tables.Manifest(**manifest._asdict()))


def load(session: Session, digest: str | None) -> ManifestContent | None:
    """Return a manifest; None if it is not stored."""
    row = None if digest is None else session.get(tables.Manifest, digest)
    return None if row is None else ManifestContent(*json.loads(zlib.decompress(row.content)))


def prune(session: Session) -> None:
    """Delete the manifests that no job has any more."""
    used = select(col(tables.Job.manifest)).where(col(tables.Job.manifest).is_not(None))
    session.execute(delete(tables.Manifest).where(col(tables.Manifest.digest).not_in(used)))


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> FileChanges:
    """Return the names of the files that differ, sorted."""
    return FileChanges(
        sorted(after.keys() - before.keys()),
        sorted(name for name in before.keys() & after.keys() if before[name] != after[name]),
        sorted(before.keys() - after.keys()),
    )


def shorten(changes: FileChanges, limit: int = _MAX_LISTED) -> tuple[FileChanges, int]:
    """Return the first changes, and how many more there are."""
    kept, left = [], limit
    for names in changes:
        kept.append(names[: max(left, 0)])
        left -= len(names)
    return FileChanges(*kept), max(-left, 0)
