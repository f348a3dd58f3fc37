"""Stores the host keys that ssh trusts at first use, while the job runs."""

from pathlib import Path

from clusterm.ansible import ssh
from clusterm.ansible.job_spec import JobSpec
from clusterm.nodes import host_keys
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store


class KeyRecorder:
    """Stores the keys that a job's ssh has learned since the last look.

    A job that registers nodes has only addresses until it ends: its keys are stored then.

    Args:
        store: the store.
        spec: the job.
        directory: the directory of the job.
    """

    def __init__(self, store: Store, spec: JobSpec, directory: Path) -> None:
        self._store = store
        self._spec = spec
        self._file = directory / ssh.LEARNED
        self._size = 0

    def record(self) -> None:
        """Store new keys of the job's nodes, each with an event.

        Raises:
            StoreError: the store cannot be written.
        """
        size = self._size_now()
        if self._spec.registers or size == self._size:
            return
        with self._store.write() as session:
            job = job_queries.get(session, self._spec.job_id)
            names = job_queries.node_names(session, job.id)
            learned = ssh.learned(self._file.parent, names)
            host_keys.learn(session, job, learned, {name: name for name in names})
        self._size = size

    def _size_now(self) -> int:
        try:
            return self._file.stat().st_size
        except FileNotFoundError:
            return 0
