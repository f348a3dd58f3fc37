"""The memory of the service does not depend on what is read at once."""

import contextlib
import sqlite3

import psutil
from support.service import WAIT_TIMEOUT_S, Clusterm

MIB = 1024 * 1024
LINES = 480_000
LINE_BYTES = 250


def test_six_readers_of_a_log_of_120_mb(clusterm: Clusterm) -> None:
    clusterm.add_nodes("node1-a")
    clusterm.write_playbook("cleanup.yml", "- hosts: all\n  gather_facts: false\n  tasks: []\n")
    job = clusterm.run("decommission", ["node1-a"])
    with contextlib.closing(sqlite3.connect(clusterm.database, timeout=WAIT_TIMEOUT_S)) as database, database:
        database.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {LINES}) "
            "INSERT INTO log_lines (job_id, seq, at, text, partial) "
            f"SELECT {job['id']}, 1000 + i, '2026-11-22 07:00:00.000000', printf('%{LINE_BYTES}d', i), 0 FROM n"
        )
        database.execute("UPDATE jobs SET lines = ? WHERE id = ?", (1000 + LINES, job["id"]))
    assert clusterm.process is not None
    process = psutil.Process(clusterm.process.pid)
    clusterm.job(logs=False)
    before = peak = process.memory_info().rss
    with contextlib.ExitStack() as stack:
        answers = [
            stack.enter_context(clusterm.http.stream("GET", "/info/job/last", timeout=WAIT_TIMEOUT_S)) for _ in range(6)
        ]
        readers = [answer.iter_raw() for answer in answers]
        for _ in range(100):
            for reader in readers:
                next(reader)
            peak = max(peak, process.memory_info().rss)
    assert peak - before < 150 * MIB
