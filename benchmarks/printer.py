"""Stands in for ansible-playbook: prints lines as its playbook, a JSON object, asks for, each with its time."""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Print `lines` lines of `characters` each, and in one second no more than `per_second` of them.

    With `gate` it begins when there is a file of that name beside the playbook.
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
