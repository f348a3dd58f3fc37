"""The prose of the project uses the standard words of its field.

Each phrase below is vague, or has a standard term. If a match is good English after all, make its pattern more precise.
In the documentation, code, output of programs and the generated reference are not checked.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[2]

SCOPES: Final = ["docs", "source"]
"""What is checked; add "source" for the docstrings, comments and strings below `src/`."""


class Phrase(NamedTuple):
    """A phrase to avoid."""

    pattern: str  # ignores case; a space stands for any white space
    suggestion: str
    example: str


class Passage(NamedTuple):
    """A piece of prose."""

    file: Path
    first_line: int
    last_line: int
    text: str


PHRASES: Final = [
    # Subjects
    Phrase(r"\b(?:some|any)(?:body|one)\b", "name the user, client or process", "Somebody may have changed it"),
    Phrase(r"\b(?:nobody|no one)\b", "no client, no process, no user", "Nobody reads it"),
    Phrase(r"\bevery(?:body|one)\b", "every client, all users", "It is open to everybody"),
    Phrase(r"\bwho(?:m|ever|mever)\b", "a client that, the user who", "Whoever asks gets it"),
    Phrase(r"\bthose (?:that|who|which)\b", "repeat the noun", "Those that failed are tried again"),
    Phrase(
        r"\b(?:to|in|of|only|says?|but) who (?:has|may|can|asks?|asked|sends?)\b",
        "clients that",
        "It answers only who asks",
    ),
    Phrase(
        r"\bwhat (?:is|are|was|were) (?:no|not|gone|left|wanted|wrong|said|sent|kept|asked)\b",
        "name the thing",
        "It removes what is left",
    ),
    Phrase(r"\bis no part\b|\b(?:it|this|that|which|what) is no (?!longer|more)\w+", "is not a", "It is no part of it"),
    # Access and connections
    Phrase(r"\blet(?:s|ting)? (?:\w+ ){0,2}in\b", "authenticate, accept", "It lets no client in"),
    Phrase(r"\blet(?:s|ting)? (?:\w+ )?go\b", "disconnect, release", "Slow clients are let go of"),
    Phrase(r"\bturn(?:s|ed)? away\b", "reject", "See who was turned away"),
    Phrase(r"\bbeliev(?:es?|ed|ing)\b", "trust, accept", "It believes the CA"),
    # Telling
    Phrase(r"\b(?:be|is|are|was|were|been|being|gets?) told\b", "notify, get, know", "Be told when it happens"),
    Phrase(r"\b(?:tells?|told|telling) of\b", "report, announce", "Monitoring tells of a node"),
    Phrase(r"\btells? whether\b", "return whether, report whether", "Tell whether it runs"),
    Phrase(r"\b(?:says?|said|saying) so\b", "report it, log it, state the reason", "It ends and says so"),
    Phrase(r"\bnews\b", "report, change", "The news of a node"),
    Phrase(r"\bthe last word\b", "takes precedence, is authoritative", "The recap has the last word"),
    # Continuing and ending
    Phrase(r"\b(?:go|goes|going|gone|went) on\b", "continue, resume", "The job goes on"),
    Phrase(r"\bg(?:i|a)v(?:e|es|en|ing) up\b", "drop, stop retrying after", "It gives up after a day"),
    Phrase(r"\b(?:is|are|be|was|were|still) at (?:it|work)\b", "is running", "An executor is at it"),
    Phrase(r"\bh(?:old|olds|eld) (?:\w+ ){0,2}up\b", "block, delay", "It holds a job up"),
    Phrase(r"\banew\b", "again", "It is made anew"),
    Phrase(r"\bonce more\b", "again", "It is tried once more"),
    Phrase(r"\bmend(?:s|ed|ing|able)?\b", "fix", "See it fail and mend it"),
    Phrase(r"\bfor (?:ever|good)\b", "permanently", "It is kept for good"),
    Phrase(r"\bsees? to it\b", "ensure", "The supervisor sees to it"),
    Phrase(
        r"\b(?:brings?|brought) (?:[\w']+ ){1,4}to the (?:\w+ )?form\b", "migrate", "It brings the database to the form"
    ),
    Phrase(r"\bt(?:ake|akes|ook|aken) (?:\w+ )?away\b", "remove, revoke", "The service takes it away"),
    # States
    Phrase(
        r"\bas (?:it|they) (?:is|was|are|were)\b(?! (?:set|read|sent|\w+(?:ed|en))\b)",
        "unchanged",
        "The node is as it was",
    ),
    Phrase(r"\b(?:left|leaves?) (?:\w+ ){0,2}alone\b", "is not affected", "A stop leaves jobs alone"),
    Phrase(
        r"\b(?:come|comes|came|coming) to (?:it|this|them|ansible|the node|a node)\b",
        "reach",
        "It never came to this node",
    ),
    Phrase(r"\bwhat (?:becomes?|became|has become) of\b", "the effect on, the result of", "See what became of the job"),
    Phrase(r"\bmakes? of (?:it|that|this|them|a)\b", "the effect on", "What clusterm makes of it"),
    Phrase(r"\b(?:is|are|was) well\b", "is healthy, is ready", "See whether it is well"),
    Phrase(r"\b(?:is|are|was|were) taken for\b", "is treated as", "A name is taken for a glob"),
    Phrase(
        r"\bst(?:and|ands|ood) (?:in|there|beside|behind)\b", "be in, be recorded in", "It stands in the description"
    ),
    Phrase(r"\bbelongs? into\b", "put into, be in", "The key belongs into this file"),
    # Grammar
    Phrase(
        r"(?:^|[.:;] )(?:Has|Have|Had|Should|Were) (?:the|a|an|it|its|there|all|nothing|no) [^.?!]*,",
        "begin the condition with 'if'",
        "Has the job not ended, then the lines have.",
    ),
    Phrase(r"\bha(?:s|ve|d) it that\b", "according to", "As Diátaxis has it that"),
    Phrase(r"\bno matter (?:how|what|who|which)\b", "state the value or the condition", "0: no matter how little"),
    Phrase(r"\bnot to be had\b", "unavailable", "The lock was not to be had"),
    Phrase(r"\bbut for\b", "except for", "All but for the names"),
    Phrase(r"\bat the (?:most|least)\b", "at most, at least", "Ten at the most"),
    Phrase(r"\b(?:generated|made) out of\b", "generated from, created from", "It is generated out of the code"),
]


@pytest.mark.parametrize("scope", SCOPES)
def test_prose_is_plain(scope: str) -> None:
    found = [violation for passage in _PASSAGES[scope]() for violation in violations(passage)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.example)
def test_each_phrase_is_found_where_it_is_used(phrase: Phrase) -> None:
    assert _compiled(phrase).search(phrase.example)
    assert _compiled(phrase).search(phrase.example.replace(" ", "\n    "))
    assert not _compiled(phrase).search(phrase.suggestion)


def test_a_violation_names_its_file_and_line() -> None:
    passage = Passage(ROOT / "docs" / "a.md", 10, 20, "A job\nends. Nobody\nreads it.")
    assert list(violations(passage)) == ["docs/a.md:11: Nobody → no client, no process, no user"]


def test_code_and_the_generated_part_of_a_document_are_left_out() -> None:
    text = "One `nobody`.\n```\nnobody\n```\nEnd.\n<!-- Generated from the source -->\nnobody\n<!-- End -->\n"
    assert _prose(text).split() == ["One", "``.", "End."]
    assert _prose(text).index("End.") == _prose(text).rindex("\n\n", 0, _prose(text).index("End.")) + 2


def test_docstrings_comments_and_strings_of_source_are_prose() -> None:
    source = '"""First.\n\nLine 3."""\n\n# A comment\n# of two lines\nx = 1  # beside\ny = f"text {x} more"\n'
    found = [(passage.first_line, passage.text) for passage in _of_source(ROOT / "src" / "a.py", source)]
    assert sorted(found) == [
        (1, "First.\n\nLine 3."),
        (5, "A comment\nof two lines"),
        (7, "beside"),
        (8, " more"),
        (8, "text "),
    ]


def violations(passage: Passage) -> Iterator[str]:
    """Yield a line for each phrase in a passage, with its place and a suggestion."""
    for phrase in PHRASES:
        for match in _compiled(phrase).finditer(passage.text):
            line = min(passage.first_line + passage.text.count("\n", 0, match.start()), passage.last_line)
            words = " ".join(match[0].split())
            yield f"{passage.file.relative_to(ROOT)}:{line}: {words} → {phrase.suggestion}"


def _compiled(phrase: Phrase) -> re.Pattern[str]:
    """Compile a pattern in which a space matches line breaks, too."""
    return re.compile(phrase.pattern.replace(" ", r"\s+"), re.IGNORECASE | re.MULTILINE)


def _of_docs() -> Iterator[Passage]:
    """Yield the prose of each document."""
    for file in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]:
        text = _prose(file.read_text())
        yield Passage(file, 1, text.count("\n") + 1, text)


def _prose(text: str) -> str:
    """Return a document without code and without the part that is generated, with the same lines."""
    text = re.sub(r"^<!-- Generated .*^<!-- End .*?$", _lines, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^( *)```.*?^\1```$", _lines, text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`", lambda code: f"`{_lines(code)}`", text)


def _lines(removed: re.Match[str]) -> str:
    """Return the line breaks of a text that is removed."""
    return "\n" * removed[0].count("\n")


def _of_sources() -> Iterator[Passage]:
    """Yield the prose in each source file."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        yield from _of_source(file, file.read_text())


def _of_source(file: Path, source: str) -> Iterator[Passage]:
    """Yield the docstrings, comments and strings of a source file; a string without a space is a name, not prose."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield Passage(file, node.lineno, node.end_lineno or node.lineno, node.value)
    yield from _comments(file, source)


def _comments(file: Path, source: str) -> Iterator[Passage]:
    """Yield the comments of a source file; comments in consecutive lines are one passage."""
    first = last = 0
    lines: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        beside = bool(token.line[: token.start[1]].strip())
        if lines and (beside or token.start[0] != last + 1):
            yield Passage(file, first, last, "\n".join(lines))
            lines = []
        first = first if lines else token.start[0]
        last = token.start[0]
        lines.append(token.string.lstrip("#: "))
    if lines:
        yield Passage(file, first, last, "\n".join(lines))


_PASSAGES: Final[dict[str, Callable[[], Iterator[Passage]]]] = {"docs": _of_docs, "source": _of_sources}
