"""How clusterctl prints log lines."""

import io

import pytest
from support.factories import JOB, NOW, log_line, printed, wire

from clusterctl.output.output import Document, Format, Stream, show
from clusterctl.views import jobs as job_views
from clusterctl.views import logs as log_views
from clusterm.schemas import LogLine

WILD = "\x1b[1;31mred\x1b[0m\tand \x1b]0;title\x07\x1b[2Jgone\r\x7f\x9b5D é\n"
TAMED = "\x1b[1;31mred\x1b[0m\tand ␛]0;title␇␛[2Jgone␍␡\N{REPLACEMENT CHARACTER}5D é\n"


@pytest.mark.parametrize(("is_terminal", "shown"), [(True, TAMED), (False, WILD)])
def test_log_lines_colour_a_terminal_and_do_nothing_else_to_it(is_terminal: bool, shown: str) -> None:
    out = io.StringIO()
    out.isatty = lambda: is_terminal  # type: ignore[method-assign]
    line = wire(LogLine(seq=1, at=NOW, text=WILD.removesuffix("\n")))

    show(Stream(iter([line]), log_views.log_text(timestamps=False), live=True), Format.TEXT, out)
    assert out.getvalue() == shown

    job = wire(JOB.model_copy(update={"logs": [WILD.removesuffix("\n")]}))
    show(Document(job, job_views.job), Format.TABLE, out)
    assert out.getvalue().endswith(f"\n{shown}")


def test_a_log_line_in_parts_is_put_together() -> None:
    lines = [log_line(1, "a"), log_line(2, "b", partial=True), log_line(3, "c"), log_line(4, "")]

    assert printed(Stream(iter(lines), log_views.log_text(timestamps=False), live=False)) == "a\nbc\n\n"
    assert printed(Stream(iter(lines), log_views.log_text(timestamps=True), live=False)).splitlines() == [
        "2026-11-22T07:31:02Z  a",
        "2026-11-22T07:31:02Z  bc",
        "2026-11-22T07:31:02Z  ",
    ]
