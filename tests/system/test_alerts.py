"""The alert rules, each of which fires when it should, with a text that says what to do, and not otherwise."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml
from support.requirements import path_of, requires
from support.service import WAIT_TIMEOUT_S

RULES: Final = Path(__file__).parents[2] / "packaging" / "alerts.yml"
HOST: Final = 'instance="cm1"'

HEALTHY: Final = {
    f'up{{job="clusterm",{HOST}}}': "1x600",
    f"clusterm_ready{{{HOST}}}": "1x600",
    f"clusterm_store_up{{{HOST}}}": "1x600",
    f'clusterm_health_check_ok{{{HOST},check="serf"}}': "1x600",
    f'clusterm_job_duration_seconds_count{{{HOST},action="update",status="Errored"}}': "0x600",
    f'clusterm_job_duration_seconds_count{{{HOST},action="update",status="Complete"}}': "0+1x600",
    f'clusterm_job_silent_seconds{{{HOST},action="update"}}': "0+1x600",
    f'clusterm_job_running_seconds{{{HOST},action="update"}}': "0+10x600",
    f"clusterm_job_oldest_queued_seconds{{{HOST}}}": "0x600",
    f"clusterm_state_dir_free_bytes{{{HOST}}}": "5000000000x600",
    f"clusterm_state_dir_min_free_bytes{{{HOST}}}": "100000000x600",
    f"clusterm_executors_lost_total{{{HOST}}}": "0x600",
    f'clusterm_nodes{{{HOST},status="Allocated",state="Disappeared"}}': "0x600",
    f'clusterm_notifications_pending{{{HOST},webhook="chat"}}': "0x600",
    f'clusterm_notifications_failed_total{{{HOST},webhook="chat"}}': "0x600",
    f"clusterm_traces_dropped_total{{{HOST}}}": "0x600",
    f'clusterm_background_task_failures_total{{{HOST},task="pruner"}}': "0x600",
    f"clusterm_certificate_expiry_timestamp_seconds{{{HOST}}}": f"{90 * 86400}x600",
}
"""The series of a healthy service, a value a minute."""

ALERTS: Final[dict[str, tuple[str, str, str, str]]] = {
    "ClustermDown": (
        f'up{{job="clusterm",{HOST}}}',
        "1x100 0x500",
        "",
        "The service on cm1 cannot be reached. Running playbooks continue.",
    ),
    "ClustermNotReady": (
        f"clusterm_ready{{{HOST}}}",
        "1x100 0x500",
        "",
        "No job can run or be stored on cm1. GET /readyz says why.",
    ),
    "ClustermCheckFails": (
        f'clusterm_health_check_ok{{{HOST},check="serf"}}',
        "1x100 0x500",
        "check",
        "The check serf fails on cm1. GET /readyz says why.",
    ),
    "ClustermJobFailed": (
        f'clusterm_job_duration_seconds_count{{{HOST},action="update",status="Errored"}}',
        "0x498 1x100",
        "action status",
        "A job failed (update). See: clusterctl job get last",
    ),
    "ClustermJobHangs": (
        f'clusterm_job_silent_seconds{{{HOST},action="update"}}',
        "1860x600",
        "action",
        "A job (update) has written nothing for 31m 0s. See: clusterctl job get active",
    ),
    "ClustermJobRunsLong": (
        f'clusterm_job_running_seconds{{{HOST},action="update"}}',
        "18000x600",
        "action",
        "A job (update) has been running for 5h 0m 0s. See: clusterctl job get active",
    ),
    "ClustermJobWaits": (
        f"clusterm_job_oldest_queued_seconds{{{HOST}}}",
        "7200x600",
        "",
        "A job has been queued for 2h 0m 0s. See: clusterctl status",
    ),
    "ClustermDiskNearlyFull": (
        f"clusterm_state_dir_free_bytes{{{HOST}}}",
        "5000000000-9000000x600",
        "",
        "The disk of the state directory on cm1 is nearly full. No job starts on a full disk.",
    ),
    "ClustermExecutorsLost": (
        f"clusterm_executors_lost_total{{{HOST}}}",
        "0x490 0+1x100",
        "",
        "Executors on cm1 die before their jobs have ended. The log of the service says why.",
    ),
    "ClustermNodeDisappeared": (
        f'clusterm_nodes{{{HOST},status="Allocated",state="Disappeared"}}',
        "0x490 2x100",
        "",
        "2 nodes have disappeared. See: clusterctl nodes get --state disappeared",
    ),
    "ClustermNotificationsWait": (
        f'clusterm_notifications_pending{{{HOST},webhook="chat"}}',
        "3x600",
        "webhook",
        "The webhook chat takes no notifications. See: clusterctl status",
    ),
    "ClustermNotificationsLost": (
        f'clusterm_notifications_failed_total{{{HOST},webhook="chat"}}',
        "0x480 1x100",
        "webhook",
        "Notifications for the webhook chat were dropped, because they were too old.",
    ),
    "ClustermTracesLost": (
        f"clusterm_traces_dropped_total{{{HOST}}}",
        "0x498 1x100",
        "",
        "Traces of jobs on cm1 were dropped. The log of the service says why.",
    ),
    "ClustermTaskFails": (
        f'clusterm_background_task_failures_total{{{HOST},task="pruner"}}',
        "0+1x600",
        "task",
        "The background task pruner keeps failing. See: clusterctl status",
    ),
    "ClustermCertificateExpires": (
        f"clusterm_certificate_expiry_timestamp_seconds{{{HOST}}}",
        f"{500 * 60 + 7 * 86400}x600",
        "",
        "The certificate of cm1 expires in 7d 0h 0m 0s.",
    ),
}
"""By alert: the series that causes it, its values, the labels that the alert keeps, and its text."""


@requires("promtool")
def test_an_alert_fires_when_it_should_and_no_other_with_it(tmp_path: Path) -> None:
    file = tmp_path / "test.yml"
    tests = [_case(alert) for alert in ("none", *ALERTS)]
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    checked = subprocess.run(
        [path_of("promtool"), "test", "rules", file],
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_is_tested() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    assert [rule["alert"] for rule in group["rules"]] == list(ALERTS)


def _case(alert: str) -> dict[str, Any]:
    """Return the test of a service that is healthy but for the cause of one alert."""
    series = dict(HEALTHY)
    if alert in ALERTS:
        cause, values, _, _ = ALERTS[alert]
        assert cause in series
        series[cause] = values
    expected = [
        {"alertname": name, "eval_time": "500m", "exp_alerts": [_expected(name)] if name == alert else []}
        for name in ALERTS
    ]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": expected,
    }


def _expected(name: str) -> dict[str, Any]:
    cause, _, kept, text = ALERTS[name]
    labels = dict(re.findall(r'(\w+)="([^"]*)"', cause))
    severity = "critical" if name in {"ClustermDown", "ClustermNotReady"} else "warning"
    wanted = {"instance", *kept.split(), *(["job"] if name == "ClustermDown" else [])}
    return {
        "exp_labels": {"severity": severity, **{label: labels[label] for label in wanted}},
        "exp_annotations": {"summary": text},
    }
