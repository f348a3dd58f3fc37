"""What is sent to webhooks, without sending it; and which webhooks a configuration may have."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from clusterm.enums import NotificationKind
from clusterm.notifications import payloads
from clusterm.settings import ManagerSettings, NotificationSettings, Webhook
from clusterm.store import tables

AT = datetime(2026, 11, 22, 15, 39, 58, 204913, tzinfo=UTC)

JOB: dict[str, Any] = {
    "id": 2,
    "desc": "commission node2-b as service-master",
    "status": "Errored",
    "error": "configure (site.yml) failed on node2-b",
    "requested_by": "127.0.0.1",
    "seconds": 10.04,
    "first_failure": {"node": "node2-b", "task": "Install <b> & more", "message": "password=canary\nno room"},
}


def text(
    about: dict[str, Any], event: NotificationKind, template: str = "json", url: str = "", *, ui: bool = True
) -> str:
    webhook = Webhook.model_validate({"name": "ops", "url": "http://127.0.0.1/", "template": template})
    message = tables.Notification(key="k", at=AT, due_at=AT, event=event, about=about)
    content, headers = payloads.request(webhook, message, ManagerSettings(public_url=url, ui=ui), 1)
    assert "Clusterm-Signature" not in headers, "there is no secret"
    return str(json.loads(content)["text"])


def test_slack_takes_nothing_in_a_message_for_markup() -> None:
    assert text(JOB, NotificationKind.JOB_FAILED, "slack", "https://c.example.org").split("\n") == [
        ":x: *Job 2 failed: commission node2-b as service-master*",
        "node2-b: Install &lt;b&gt; &amp; more: password=******** no room",
        "requested by 127.0.0.1; it ran for 10.0 s",
        "<https://c.example.org/ui/jobs/2>",
    ]
    without = text(JOB, NotificationKind.JOB_FAILED, "slack", "https://c.example.org", ui=False)
    assert without.endswith("\n<https://c.example.org/info/job/2>")


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"status": "Complete", "error": ""}, ["is complete", "it ran for 10.0 s"]),
        ({"status": "Cancelled", "error": "cancelled by ann", "seconds": None}, ["was cancelled", "it never ran"]),
        ({"status": "Errored", "error": "x" * 600}, ["failed", "x" * 499 + "…"]),
    ],
)
def test_how_a_job_ended(members: dict[str, Any], expected: list[str]) -> None:
    said = text({**JOB, "first_failure": None, **members}, NotificationKind.JOB_ENDED)
    assert [part for part in expected if part not in said] == []


def test_a_node_that_came_and_went_says_how_often() -> None:
    node = {"name": "node1-a", "detail": "at 127.0.0.11", "times": 7, "since": "2026-11-22T15:00:00.000000Z"}
    said = text({"nodes": [node]}, NotificationKind.NODE_RETURNED)
    assert said == "node1-a is back (7 times since 2026-11-22T15:00:00.000000Z): at 127.0.0.11"


@pytest.mark.parametrize(
    "members",
    [
        {"name": ""},
        {"name": "two words"},
        {"url": "ftp://example.org/"},
        {"url": "https:///hook"},
        {"url": "https://example.org/a\nb"},
        {"events": []},
        {"events": ["job_began"]},
        {"template": "teams"},
        {"headers": {"X-A": "1\r\nX-B: 2"}},
        {"headers": {"X A": "1"}},
        {"secrets": "misspelt"},
    ],
)
def test_a_webhook_that_could_not_be_told_is_no_configuration(members: dict[str, Any]) -> None:
    good = {"name": "ops", "url": "https://example.org/hook"}
    NotificationSettings.model_validate({"webhooks": [good]})
    with pytest.raises(ValidationError):
        NotificationSettings.model_validate({"webhooks": [{**good, **members}]})


def test_two_webhooks_have_two_names() -> None:
    webhook = {"name": "ops", "url": "https://example.org/hook"}
    with pytest.raises(ValidationError, match="the same name"):
        NotificationSettings.model_validate({"webhooks": [webhook, webhook]})
