"""Output of which a part is released."""

import os
from pathlib import Path

from clusterm.executor.output.space import release_space


def test_the_space_of_a_part_is_returned_and_the_rest_remains(tmp_path: Path) -> None:
    file = tmp_path / "output"
    content = os.urandom(300_000)
    file.write_bytes(content)
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())
        before = file.stat()
        release_space(opened.fileno(), 4095)
        assert file.read_bytes() == content
        release_space(opened.fileno(), 200_000)
        release_space(opened.fileno(), -1)
    after = file.stat()
    assert after.st_size == before.st_size
    assert (before.st_blocks - after.st_blocks) * 512 == 200_000 // 4096 * 4096
    assert file.read_bytes()[200_000:] == content[200_000:]
