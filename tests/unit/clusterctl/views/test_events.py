"""How clusterctl prints events."""

from support.factories import event, last_page, printed, wire

from clusterctl.output.output import Document, Stream
from clusterctl.views import events as event_views
from clusterm.schemas import Event


def test_the_timeline_reads_as_agreed() -> None:
    page = last_page(
        Event,
        [
            event(1, "discovered"),
            event(2, "commissioned", "pass", job=1),
            event(3, "commissioned", "fail", node="node2-b", job=12, detail="disk\n/dev/sdb [red]is missing"),
        ],
    )

    assert printed(Document(wire(page), event_views.events)).splitlines() == [
        "TIME                  EVENT                               JOB  REASON",
        "2026-11-22T07:31:02Z  node1-a discovered",
        "2026-11-22T07:31:02Z  node1-a commissioned; result: pass  1",
        "2026-11-22T07:31:02Z  node2-b commissioned; result: fail  12   disk /dev/sdb [red]is missing",
    ]


def test_an_event_that_is_followed_reads_as_in_the_timeline() -> None:
    items = iter([wire(event(3, "commissioned", "fail", job=12, detail="no disk")), wire(event(4, "discovered"))])

    assert printed(Stream(items, event_views.event_text, live=True)).splitlines() == [
        "2026-11-22T07:31:02Z  node1-a commissioned; result: fail           12  no disk",
        "2026-11-22T07:31:02Z  node1-a discovered",
    ]
