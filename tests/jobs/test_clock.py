"""Jobs during which the clock is set."""

import sqlite3
from contextlib import closing

import pytest
from support.programs import COUNTING
from support.service import Clusterm, wait_for


@pytest.mark.parametrize("step", ["+1 day", "-1 day"], ids=["set back", "set forward"])
def test_durations_are_right_although_the_clock_is_set_meanwhile(new_clusterm: Clusterm, step: str) -> None:
    """To set the clock back is to have begun later, as far as the clock tells."""
    new_clusterm.use_program(COUNTING)
    new_clusterm.config["manager"]["max_active_jobs"] = 1
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1", "a-2")
    job = clusterm.begin("decommission", ["a-1"])
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] > 3, "the first lines")
    queued = clusterm.begin("decommission", ["a-2"], queue=True)
    with closing(sqlite3.connect(clusterm.database)) as database, database:
        for table, column in (("jobs", "created_at"), ("jobs", "started_at"), ("job_steps", "started_at")):
            database.execute(f"UPDATE {table} SET {column} = strftime('%Y-%m-%d %H:%M:%f000', {column}, ?)", (step,))
    running = clusterm.job(job["id"], logs=False)
    assert 0 < running["seconds"] < 60
    assert 0 < running["steps"][0]["seconds"] < 60
    (clusterm.playbooks / "enough").touch()
    for each in (clusterm.ended(job), clusterm.ended(queued)):
        assert 0 < each["seconds"] < 60
        assert 0 < each["steps"][0]["seconds"] <= each["seconds"]
    for name in ("duration", "queue"):
        assert 0 < _sum(clusterm, f"clusterm_job_{name}_seconds_sum") < 120
    assert "ended after 0.0 s" not in clusterm.log.read_text()
    shown = clusterm.clusterctl("job", "list").stdout
    assert " h " not in shown


def _sum(clusterm: Clusterm, series: str) -> float:
    metrics = clusterm.http.get("/metrics").text
    return sum(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(series))
