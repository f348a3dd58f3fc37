"""Recognize parts of the text that ansible-core 2.17 and newer prints: its own errors, and banners of tasks."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

MAX_ERROR: Final = 2000
"""Maximum characters of an error; a longer one is cut."""

_COLOUR: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")

_ERROR: Final = re.compile(
    r"(?:(?P<paragraph>\[ERROR\]: )"  # Display.error()
    r"|ERROR! "  # Display.error(wrap_text=False) before 2.19
    r"|ERROR: "  # before ansible can display anything: locale, configuration
    r"|ansible(?:-[a-z]+)?: error: )"  # argparse
)
"""Start of an error."""

_TRACEBACK: Final = "Traceback (most recent call last):"

_OTHER_MESSAGE: Final = re.compile(r"\[[A-Z ]+\]: ")
"""Start of a message that is not an error, such as `[WARNING]: ` and `[DEPRECATION WARNING]: `."""

_DETAILS: Final = re.compile(
    rf"{re.escape(_TRACEBACK)}|Origin: |The error appears to be in |<<< caused by >>>"
    r"|to see the full traceback|[Tt]he full traceback |exception type: |usage: "
)
"""End of the message of an error: where it occurred, and other details."""

_ORIGIN: Final = re.compile(
    r"Origin: (?P<place>[^<].*)|The error appears to be in '(?P<file>.+)': line (?P<line>\d+), column (?P<column>\d+)"
)
"""Where an error occurred: since ansible-core 2.19, and before."""

_PROGRESS: Final = re.compile(
    r"(?:PLAY|TASK|RUNNING HANDLER|CLEANUP TASK|PLAY RECAP)\b.* \*{3,}$"
    r"|(?:fatal|failed|ok|changed|skipping|included): \["
    r"|\S+ \| (?:FAILED|UNREACHABLE|SUCCESS|CHANGED|SKIPPED)\b"
)
"""A line of the callbacks `default`, `minimal` and `oneline`: ansible continued after the errors before it."""

_BANNER: Final = re.compile(r"(?:TASK|RUNNING HANDLER|CLEANUP TASK) \[.*\] \*{3,}$|task path: |$")


_TRACE: Final = re.compile(r"<[^>]+> |Using module file |Pipelining is enabled")


def plain(text: str) -> str:
    """Remove the colours from a line of output."""
    return _COLOUR.sub("", text)


def is_banner(text: str) -> bool:
    """Return whether a line belongs to the banner of a task: its name, its path, or an empty line."""
    return _BANNER.match(plain(text)) is not None


def is_trace(text: str) -> bool:
    """Return whether a line is about a connection or a module, as ansible prints it in front of a result with -vvv."""
    return _TRACE.match(plain(text)) is not None


class FinalError(NamedTuple):
    """The error that ended a program of ansible."""

    message: str
    """The message in one line, with the place where the error occurred."""
    first: int
    """Index of the first line of the error."""
    last: int
    """Index of the last line of the error and its details."""


def final_error(lines: Iterable[str]) -> FinalError | None:
    """Find the error that ended a program of ansible, which is the last one that it printed.

    Args:
        lines: the end of the program's output. If it contains results of tasks, only errors after them are considered.
    """
    output = [plain(line) for line in lines]
    start = next((n + 1 for n in reversed(range(len(output))) if _PROGRESS.match(output[n])), 0)
    for first in reversed(range(start, len(output))):
        if mark := _ERROR.match(output[first]):
            following = range(first + 1, len(output))
            end = next((n for n in following if _OTHER_MESSAGE.match(output[n])), len(output))
            block = [output[first][mark.end() :], *output[first + 1 : end]]
            return FinalError(_message(block, is_paragraph=mark["paragraph"] is not None), first, _last(output, end))
    return _exception(output, start)


def _message(block: Sequence[str], *, is_paragraph: bool) -> str:
    """Return the message of an error and its place.

    Args:
        block: the lines of the error and its details, without the mark of an error.
        is_paragraph: whether an empty line ends the message.
    """
    end = 1
    while end < len(block) and not _DETAILS.match(block[end]) and (block[end].strip() or not is_paragraph):
        end += 1
    message = " ".join(" ".join(block[:end]).split())
    origin = next(filter(None, map(_ORIGIN.match, block[end:])), None)
    if origin:
        place = origin["place"] or "{file}:{line}:{column}".format(**origin.groupdict())
        if place not in message:
            message = f"{message} ({place})"
    return _cut(message)


def _exception(output: Sequence[str], start: int) -> FinalError | None:
    """Return the exception of the last traceback that begins at an index or after it."""
    first = next((n for n in reversed(range(start, len(output))) if output[n] == _TRACEBACK), None)
    if first is None:
        return None
    following = output[first + 1 :]
    message = next((line for line in following if line and not line.startswith(" ")), "Traceback")
    return FinalError(_cut(message), first, _last(output, len(output)))


def _last(output: Sequence[str], end: int) -> int:
    """Return the index of the last line before an index that is not empty."""
    return next(n for n in reversed(range(end)) if output[n].strip())


def _cut(message: str) -> str:
    return message if len(message) <= MAX_ERROR else message[: MAX_ERROR - 1] + "…"
