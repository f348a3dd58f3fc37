"""Replacement for ansible-playbook: prints lines with their times, as specified by its playbook, a JSON object."""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Print `lines` lines of `characters` characters each, at most `per_second` lines per second.

    With `gate`, wait for a file of that name beside the playbook first.
    """
    site = Path(sys.argv[-1])
    playbook = json.loads(site.read_text())
    per_second = playbook.get("per_second")
    while "gate" in playbook and not site.with_name(playbook["gate"]).exists():
        time.sleep(0.01)
    began = time.monotonic()
    for number in range(playbook["lines"]):
        if per_second:
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
        print(f"{time.monotonic():.6f} ".ljust(playbook["characters"], "."), flush=True)


if __name__ == "__main__":
    main()
