"""Take the screenshots of the documentation: the pages of the demo, which is a real service with real jobs."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

FOLDER: Final = Path(__file__).parent.parent / "docs" / "images"
PAGES: Final = {
    "overview": ("/ui/", "light"),
    "nodes": ("/ui/nodes", "dark"),
    "job": ("/ui/jobs/2", "light"),
    "run": ("/ui/run/update?group=service-worker", "dark"),
}
"""Path and theme of each page, by the name of its file."""

SIZE: Final = {"width": 1000, "height": 560}


def main() -> None:
    """Run the demo, take a screenshot of each page, and stop the demo."""
    demo = [sys.executable, "-m", "clusterm", "demo", "--keep"]
    output = subprocess.run(demo, check=True, capture_output=True, text=True).stdout
    found = re.search(r"CLUSTERM_URL=(\S+) CLUSTERM_TOKEN=(\S+).*kill (\d+) && rm -r (\S+)", output, re.DOTALL)
    if found is None:
        sys.exit(f"the demo has not named its service:\n{output}")
    url, token, pid, root = found.groups()
    try:
        take(url, token)
    finally:
        os.kill(int(pid), signal.SIGTERM)
        shutil.rmtree(root)


def take(url: str, token: str) -> None:
    """Take the screenshots of a service."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.goto(f"{url}/ui/login")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Sign out").wait_for()
        for name, (path, theme) in PAGES.items():
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            page.goto(f"{url}{path}")
            page.screenshot(path=FOLDER / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
