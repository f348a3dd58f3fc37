"""Functions in SQL, in the form of each database."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Float, Integer, SQLColumnExpression
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _Position(FunctionElement[int]):
    """The position of a text in another one, from 1; 0 if it is not in there."""

    type = Integer()
    inherit_cache = True
    name = "position"


class _AsciiLower(FunctionElement[str]):
    """A text with ASCII letters in lower case. Others keep their case, whatever the locale of a server."""

    inherit_cache = True
    name = "ascii_lower"


class _ByteLength(FunctionElement[int]):
    """The length of a text in UTF-8."""

    type = BigInteger()
    inherit_cache = True
    name = "byte_length"


class _Seconds(FunctionElement[float]):
    """The seconds from one time to another."""

    type = Float()
    inherit_cache = True
    name = "seconds"


@compiles(_Position)
def _position(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_Position, "postgresql")
def _position_postgresql(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


@compiles(_AsciiLower)
def _ascii_lower(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(_AsciiLower, "postgresql")
def _ascii_lower_postgresql(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return f'lower(({compiler.process(element.clauses, **options)}) COLLATE "C")'


@compiles(_ByteLength)
def _byte_length(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return f"length(CAST({compiler.process(element.clauses, **options)} AS BLOB))"


@compiles(_ByteLength, "postgresql")
def _byte_length_postgresql(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return f"octet_length({compiler.process(element.clauses, **options)})"


@compiles(_Seconds)
def _seconds(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(each, **options) for each in element.clauses)
    return f"((julianday({end}) - julianday({start})) * 86400.0)"


@compiles(_Seconds, "postgresql")
def _seconds_postgresql(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(each, **options) for each in element.clauses)
    return f"CAST(EXTRACT(EPOCH FROM ({end}) - ({start})) AS DOUBLE PRECISION)"


def contains(text: SQLColumnExpression[Any], part: str, *, ignore_case: bool = False) -> ColumnElement[bool]:
    """Return the condition that a text contains another one, literally. Only ASCII letters can ignore their case."""
    if ignore_case:
        return _Position(_AsciiLower(text), _AsciiLower(part)) > 0
    return _Position(text, part) > 0


def byte_length(text: SQLColumnExpression[Any]) -> ColumnElement[int]:
    """Return the expression for the length of a text in UTF-8."""
    return _ByteLength(text)


def seconds_between(start: SQLColumnExpression[Any], end: SQLColumnExpression[Any]) -> ColumnElement[float]:
    """Return the expression for the seconds from one time to another."""
    return _Seconds(start, end)
