"""`clusterctl ui` opens the dashboard signed in."""

import os
import subprocess
from pathlib import Path

import httpx
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm


def test_the_link_opens_a_session(new_clusterm: Clusterm, tmp_path: Path) -> None:
    del new_clusterm.config["manager"]["auth"]
    new_clusterm.start()
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    token, url = (new_clusterm.state_dir / "token").read_text().strip(), str(new_clusterm.http.base_url)
    environment = os.environ | {"CLUSTERM_URL": url, "CLUSTERM_TOKEN": token, "BROWSER": f"{browser} %s"}

    def ui(*options: str) -> str:
        command = [str(BIN / "clusterctl"), "ui", *options]
        return subprocess.check_output(command, env=environment, text=True, timeout=WAIT_TIMEOUT_S)

    assert ui() == ""
    for link in (opened.read_text(), ui("--print").strip()):
        with httpx.Client(follow_redirects=True) as client:
            assert "local (operator)" in client.get(link).text
