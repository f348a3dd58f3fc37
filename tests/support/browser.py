"""Debian's Chromium, which asks no host but the service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from support.requirements import path_of

FLAGS: Final = [
    "--no-sandbox",  # root may not have one
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",  # or it looks for hosts of its own
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]

_AXE: Final = Path(__file__).parent.parent / "vendor" / "axe-core" / "axe.min.js"
"""axe-core 4.14.1 (MPL 2.0)."""


def accessibility_violations(page: Page) -> list[str]:
    """Return the serious and critical violations that axe-core finds on a page, each with its first element."""
    page.evaluate(_AXE.read_text())  # evaluated, because the policy of the page allows no further script
    found: list[str] = page.evaluate(
        """axe.run().then(({ violations }) => violations
          .filter(({ impact }) => impact === "serious" || impact === "critical")
          .map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`))"""
    )
    return found


@contextmanager
def open_page(profile: Path, *, timeout_ms: float = 30_000) -> Iterator[Page]:
    """Start the browser with a profile of its own, and yield its first page.

    Args:
        profile: a directory that does not exist yet.
        timeout_ms: milliseconds that an action may take.
    """
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=path_of("chromium"), args=FLAGS, headless=True
        )
        context.set_default_timeout(timeout_ms)
        yield context.pages[0]
        context.close()
