"""Run all playbooks of a folder as jobs and with bare ansible, and print where clusterm and ansible differ.

    python tests/differential/run_folder.py FOLDER [--only NAME] [--no-bare]

The exit status is 1 if there is a difference that docs/explanation/log-attribution.md does not explain.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from differential.compare import Difference, differences, differences_of_runs
from differential.runs import PLAYBOOKS, Bare, Case, Site, cases, running_site


def compare(site: Site, case: Case, *, bare: bool) -> list[Difference]:
    """Run a playbook, and return the differences that nothing explains."""
    site.prepare(case)
    alone = Bare(site, case) if bare else None
    recorded, stored = site.run(case)
    found = differences(recorded, stored, list(site.nodes))
    if alone is not None:
        found += differences_of_runs(alone.ended(), recorded, stored)
    return found


def main() -> None:
    """Run the playbooks of a folder, and say how they went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=PLAYBOOKS, help="the folder with the playbooks")
    parser.add_argument("--only", action="append", metavar="NAME", help="run only this playbook; may be repeated")
    parser.add_argument("--no-bare", action="store_true", help="run the jobs only, in half of the time")
    arguments = parser.parse_args()
    wanted = [case for case in cases(arguments.folder) if not arguments.only or case.name in arguments.only]
    if not wanted:
        sys.exit(f"no playbooks in {arguments.folder}")
    differing = []
    with (
        tempfile.TemporaryDirectory(prefix="clusterm-differential-") as root,
        running_site(Path(root) / "site", arguments.folder) as site,
    ):
        for number, case in enumerate(wanted, start=1):
            began = time.monotonic()
            found = compare(site, case, bare=not arguments.no_bare)
            result = "DIFFERS" if found else "same"
            print(f"{number} of {len(wanted)}  {case.playbook}  {result}  {time.monotonic() - began:.0f} s", flush=True)
            for difference in found:
                print(f"  {difference}", flush=True)
            if found:
                differing.append(case.name)
    if differing:
        sys.exit(f"different: {', '.join(differing)}")


if __name__ == "__main__":
    main()
