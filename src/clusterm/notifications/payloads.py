"""The HTTP requests to webhooks, as pure functions of the message and the settings of the webhook."""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import orjson

from clusterm import schemas
from clusterm.common.redaction import redact_text
from clusterm.enums import JobStatus, NotificationKind, WebhookTemplate
from clusterm.settings import ManagerSettings, Webhook
from clusterm.store import tables

TEST: Final = "test"
"""The `event` of a test message."""

_MAX_TEXT_LENGTH: Final = 500
"""Characters of an error in the text; the other members of the body have the complete error."""

_MAX_NODES: Final = 10
"""Nodes that the text lists."""

_ICONS: Final = {
    NotificationKind.JOB_FAILED: ":x:",
    NotificationKind.NODE_DISAPPEARED: ":warning:",
    NotificationKind.NODE_RETURNED: ":white_check_mark:",
}


def request(
    webhook: Webhook, message: tables.Notification, manager: ManagerSettings, now: int
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the request that delivers a message.

    Args:
        webhook: the receiver.
        message: the message.
        manager: say whether and where links lead.
        now: the present time in seconds since 1970; the signature covers it, too.
    """
    body = {
        "id": message.key,
        "event": message.event,
        "at": schemas.format_time(message.at),
        "text": _text(message.event, message.about),
        **_members(message, manager),
    }
    return _request(webhook, body, now)


def test_request(webhook: Webhook, now: int) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the request that delivers a test message."""
    at = schemas.format_time(datetime.fromtimestamp(now, UTC))
    text = f"This is a test: clusterm will tell {webhook.name} of {', '.join(sorted(webhook.events))}."
    return _request(webhook, {"id": str(uuid4()), "event": TEST, "at": at, "text": text}, now)


def _request(webhook: Webhook, body: dict[str, Any], now: int) -> tuple[bytes, dict[str, str]]:
    content = orjson.dumps(_slack(body) if webhook.template is WebhookTemplate.SLACK else body)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "clusterm",
        "Clusterm-Event": str(body["event"]),
        "Clusterm-Delivery": str(body["id"]),
        "Clusterm-Timestamp": str(now),
    }
    if secret := webhook.secret.get_secret_value():
        signature = hmac.new(secret.encode(), f"{now}.".encode() + content, hashlib.sha256).hexdigest()
        headers["Clusterm-Signature"] = f"sha256={signature}"
    return content, headers | {name: value.get_secret_value() for name, value in webhook.headers.items()}


def _members(message: tables.Notification, manager: ManagerSettings) -> dict[str, Any]:
    if message.event in {NotificationKind.NODE_DISAPPEARED, NotificationKind.NODE_RETURNED}:
        return {**message.about, "url": _link(manager, "/ui/nodes", "/info/nodes")}
    job = _redacted(message.about)
    return {"job": job, "url": _link(manager, f"/ui/jobs/{job['id']}", f"/info/job/{job['id']}")}


def _link(manager: ManagerSettings, page: str, path: str) -> str | None:
    """Return the URL of a page of the dashboard, or of a path of the API without the dashboard; None for no links."""
    return f"{manager.public_url}{page if manager.ui else path}" if manager.public_url else None


def _text(event: NotificationKind, about: dict[str, Any]) -> str:
    """Return what happened in words, with the most important fact in the first line."""
    if event in {NotificationKind.NODE_DISAPPEARED, NotificationKind.NODE_RETURNED}:
        return _text_of_nodes(event, about["nodes"])
    job = _redacted(about)
    how = {JobStatus.COMPLETE: "is complete", JobStatus.CANCELLED: "was cancelled"}.get(job["status"], "failed")
    lines = [f"Job {job['id']} {how}: {job['desc']}"]
    if failure := job["first_failure"]:
        place = f"{failure['node']}: {failure['task']}" if failure["task"] else failure["node"]
        lines.append(_cut(f"{place}: {failure['message']}"))
    elif job["error"]:
        lines.append(_cut(job["error"]))
    ran = "it never ran" if job["seconds"] is None else f"it ran for {job['seconds']:.1f} s"
    lines.append(f"requested by {job['requested_by']}; {ran}")
    return "\n".join(lines)


def _text_of_nodes(event: NotificationKind, nodes: list[dict[str, Any]]) -> str:
    gone = event is NotificationKind.NODE_DISAPPEARED
    lines = []
    for node in nodes[:_MAX_NODES]:
        again = f" ({node['times']} times since {node['since']})" if node["times"] > 1 else ""
        lines.append(_cut(f"{node['name']} {'has disappeared' if gone else 'is back'}{again}: {node['detail']}"))
    if len(nodes) > _MAX_NODES:
        lines.insert(0, f"{len(nodes)} nodes {'have disappeared' if gone else 'are back'}")
        lines.append(f"and {len(nodes) - _MAX_NODES} more")
    return "\n".join(lines)


def _redacted(job: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a job with secrets in their texts masked."""
    failure = job["first_failure"]
    return {
        **job,
        "error": redact_text(job["error"]),
        "first_failure": failure and {**failure, "message": redact_text(failure["message"])},
    }


def _slack(body: dict[str, Any]) -> dict[str, str]:
    """Return a message in the format of Slack's incoming webhooks, with the first line in bold."""
    text = body["text"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    first, newline, rest = text.partition("\n")
    icon = _ICONS.get(body["event"], ":information_source:")
    link = f"\n<{body['url']}>" if body.get("url") else ""
    return {"text": f"{icon} *{first}*{newline}{rest}{link}"}


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TEXT_LENGTH else f"{line[: _MAX_TEXT_LENGTH - 1]}…"
