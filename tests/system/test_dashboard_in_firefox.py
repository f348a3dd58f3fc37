"""The dashboard in Firefox: pages are drawn, with their style and scripts."""

import re
import subprocess
from pathlib import Path

from support.programs import SCRIPTED
from support.requirements import path_of, requires
from support.service import WAIT_TIMEOUT_S, Clusterm

pytestmark = requires("firefox-esr")


def test_a_page_is_drawn(new_clusterm: Clusterm, tmp_path: Path) -> None:
    new_clusterm.use_program(SCRIPTED)
    new_clusterm.start()
    new_clusterm.add_nodes("node1-a")
    profile, picture = tmp_path / "profile", tmp_path / "page.png"
    profile.mkdir()
    address = str(new_clusterm.http.base_url.join("/ui/nodes"))
    options = ["--headless", "--no-remote", "--profile", str(profile), "--window-size=1000,700"]
    subprocess.run(
        [path_of("firefox-esr"), *options, "--screenshot", str(picture), address],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=WAIT_TIMEOUT_S,
        check=True,
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    metrics = new_clusterm.http.get("/metrics").text
    files = re.search(r'http_requests_total\{method="GET",route="/ui/static/[^"]*",status="200"\} (\d+)', metrics)
    assert files is not None
    assert int(files[1]) >= 3  # the style and both scripts
