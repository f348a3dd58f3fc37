"""Stands in for ansible-playbook: prints lines as its playbook, a JSON object, asks for, each with its time."""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Print `lines` lines of `characters` each, and in one second no more than `per_second` of them."""
    playbook = json.loads(Path(sys.argv[-1]).read_text())
    per_second = playbook.get("per_second")
    began = time.monotonic()
    for number in range(playbook["lines"]):
        if per_second:
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
        print(f"{time.monotonic():.6f} ".ljust(playbook["characters"], "."), flush=True)


if __name__ == "__main__":
    main()
