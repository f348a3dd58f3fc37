"""The files of the pages, at addresses that contain their digest, so that browsers keep them permanently.

All have one digest, that of all of them: modules import each other by names relative to their own address.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def read_all() -> dict[str, tuple[bytes, str]]:
    """Return the content and the media type of each file, by its path below `/ui/static`: digest and name."""
    files = {file.name: file.read_bytes() for file in sorted(_FOLDER.iterdir())}
    digest = hashlib.sha256(b"".join(b"%s\0%s\0" % (name.encode(), content) for name, content in files.items()))
    folder = digest.hexdigest()[:12]
    return {f"{folder}/{name}": (content, _TYPES[Path(name).suffix]) for name, content in files.items()}


@cache
def path_of(name: str) -> str:
    """Return the path of a file below `/ui/static`."""
    return next(path for path in read_all() if path.endswith(f"/{name}"))
