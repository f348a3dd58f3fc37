"""Records which playbooks a job runs: the digest of their directory, its git commit, and the versions of ansible.

A directory that cannot be read, or a failure of this module, neither fails nor blocks the job.
"""

import logging
from typing import Final

from clusterm.ansible import installed
from clusterm.ansible.directory_digest import Contents, DirectoryDigest
from clusterm.ansible.git_work_tree import read_work_tree
from clusterm.ansible.job_spec import JobSpec
from clusterm.executor.retry import retry_until_available
from clusterm.schemas import Provenance
from clusterm.store import jobs as job_queries
from clusterm.store import manifests
from clusterm.store.engine import Store

log = logging.getLogger(__name__)

_MAX_UNREAD: Final = 20
_MAX_NAMES: Final = 5
"""Changed files that a warning names."""


class ProvenanceRecorder:
    """Records the playbooks when a job begins, and whether they change before one of its steps."""

    def __init__(self, store: Store, spec: JobSpec) -> None:
        self._store = store
        self._spec = spec
        self._directory = DirectoryDigest(spec.location)
        self._last: Contents | None = None
        """The last complete contents that this executor has seen."""

    def begin(self) -> None:
        """Record the playbooks, unless an earlier executor has."""
        try:
            self._begin()
        except Exception:
            log.warning("the playbooks of job %s cannot be recorded", self._spec.job_id, exc_info=True)

    def before_step(self, number: int, name: str) -> None:
        """Warn if the playbooks have changed since the job began, or since the step before."""
        try:
            self._compare(f"{number} ({name})")
        except Exception:
            log.warning("the playbooks of job %s cannot be compared", self._spec.job_id, exc_info=True)

    def _begin(self) -> None:
        spec = self._spec
        if retry_until_available(self._is_recorded):
            return
        contents = self._directory.compute()
        tree = read_work_tree(spec.location)
        provenance = Provenance(
            path=str(spec.location),
            digest=contents.digest,
            files=len(contents.files),
            bytes=contents.bytes,
            reason=contents.reason,
            unread=sorted(contents.unread)[:_MAX_UNREAD],
            commit=tree and tree.commit,
            branch=tree and tree.branch,
            dirty=tree and tree.dirty,
            changed=tree.changed if tree else [],
            ansible=installed.ansible_core(spec.executable),
        )
        collections = installed.collections(spec.executable, spec.location, spec.environment)
        made = manifests.create(contents.files if contents.digest else None, collections)
        self._last = contents if contents.digest else None

        def keep() -> None:
            with self._store.write() as session:
                job = job_queries.get(session, spec.job_id)
                manifests.store(session, made)
                job.provenance, job.manifest = provenance.model_dump(mode="json"), made.digest

        retry_until_available(keep)

    def _is_recorded(self) -> bool:
        with self._store.read() as session:
            return job_queries.get(session, self._spec.job_id).provenance is not None

    def _compare(self, step: str) -> None:
        contents = self._directory.compute()
        if contents.digest is None:
            return
        former, self._last = self._last, contents

        def keep() -> None:
            with self._store.write() as session:
                job = job_queries.get(session, self._spec.job_id)
                if job.provenance is None:
                    return
                if (former.digest if former else job.provenance["digest"]) in {None, contents.digest}:
                    return
                if former is None and job.provenance["changed_before"]:  # an earlier executor has warned of a change
                    return
                if former:
                    names = _names(manifests.compare(former.files, contents.files))
                else:  # an earlier executor has begun the job
                    known, now = manifests.load(session, job.manifest), manifests.shorten_digests(contents.files)
                    names = _names(manifests.compare(known.files, now)) if known and known.files else ""
                job_queries.warn(job, f"the playbooks changed while the job ran, before step {step}{names}")
                job.provenance = {
                    **job.provenance,
                    "changed_before": [*job.provenance["changed_before"], step][: job_queries.MAX_WARNINGS],
                }

        retry_until_available(keep)


def _names(changes: manifests.FileChanges) -> str:
    """Return the names of changed files, for a warning."""
    shown, more = manifests.shorten(changes, _MAX_NAMES)
    parts = [f"{what} {', '.join(names)}" for what, names in zip(changes._fields, shown, strict=True) if names]
    return f": {'; '.join(parts)}{f' and {more} more' if more else ''}"
