"""Reads the documentation: its files, and the blocks of code in them."""

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"

_BLOCK: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code."""

    language: str
    text: str


class Command(NamedTuple):
    """A command in a `console` block, and what the document says that it prints."""

    line: str
    output: str


def documents() -> list[Path]:
    """Return all documents of the source tree."""
    return [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]


def blocks(document: Path) -> list[Block]:
    """Return the blocks of code of a document, in order."""
    return [Block(language, text) for _, language, text in _BLOCK.findall(document.read_text())]


def commands(block: Block) -> list[Command]:
    """Return the commands of a block: what follows a prompt, up to the next."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:] if block.language == "console" else []
    return [Command(line, output) for line, _, output in (part.partition("\n") for part in parts)]


def prose(document: Path) -> str:
    """Return the text of a document without its blocks of code."""
    return _BLOCK.sub("", document.read_text())
