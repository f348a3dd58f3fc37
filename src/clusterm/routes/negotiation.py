"""Select the encoding of a response by the client's headers (RFC 9110, section 12.5)."""

from collections.abc import Iterator

from clusterm.logs.formats import ENCODINGS, TEXT, LogEncoding


def choose(accept: str) -> LogEncoding:
    """Return the client's preferred log encoding (RFC 9110, section 12.5.1); text if it accepts none of them."""
    accepted = [(quality, ENCODINGS[media_range]) for media_range, quality in parse(accept) if media_range in ENCODINGS]
    quality, encoding = max(accepted, key=lambda each: each[0], default=(0.0, TEXT))
    return encoding if quality else TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether a client accepts gzip (RFC 9110, section 12.5.3)."""
    return next((quality > 0 for coding, quality in parse(accept_encoding) if coding == "gzip"), False)


def parse(header: str) -> Iterator[tuple[str, float]]:
    """Yield each media range or coding of a header with its quality; an invalid quality is 0."""
    for item in header.split(","):
        value, *parameters = (part.strip().lower() for part in item.split(";"))
        yield value, _quality(parameters)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
