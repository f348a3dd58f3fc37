"""The files of the pages, at addresses that contain their digest, so that browsers keep them permanently."""

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
    found = {}
    for file in sorted(_FOLDER.iterdir()):
        content = file.read_bytes()
        found[f"{hashlib.sha256(content).hexdigest()[:12]}/{file.name}"] = content, _TYPES[file.suffix]
    return found


@cache
def path_of(name: str) -> str:
    """Return the path of a file below `/ui/static`."""
    return next(path for path in read_all() if path.endswith(f"/{name}"))
