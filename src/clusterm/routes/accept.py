"""What a client accepts, as its headers say (RFC 9110, section 12.5)."""

from collections.abc import Iterator


def parse(header: str) -> Iterator[tuple[str, float]]:
    """Yield each media range or coding of a header with its quality, which is 0 where it is no number."""
    for item in header.split(","):
        what, *parameters = (part.strip().lower() for part in item.split(";"))
        yield what, _quality(parameters)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
