# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs: what they say, how long they may take, and what becomes of them where this one is killed."""
from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import process
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError


@pytest.mark.parametrize("outlives", [False, True])
def test_what_a_program_says_and_its_status_are_returned(outlives: bool) -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], outlives=outlives)
    assert (done.returncode, done.stdout, done.stderr) == ((3, b"out\nerr\n", b"") if outlives else (3, b"out\n", b"err\n"))


@pytest.mark.parametrize("outlives", [False, True])
def test_a_program_that_is_not_there_or_does_not_end_is_an_error(outlives: bool) -> None:
    with pytest.raises(DaneError, match="is not installed"):
        process.run(["no-such-program-at-all"], outlives=outlives)
    with pytest.raises(DaneError, match="did not end within 0.1 seconds"):
        process.run(["sleep", "60"], timeout=0.1, outlives=outlives)


@pytest.mark.parametrize("outlives", [False, True])
@pytest.mark.parametrize(("mode", "text"), [(0o644, "#!/bin/sh\n"), (0o755, "rubbish\n"), (0o755, "#!/no/such/shell\n"), (0o755, None)])
def test_a_program_that_cannot_be_run_is_an_error(tmp_path: Path, mode: int, text: str | None, outlives: bool) -> None:
    program = tmp_path / "program"
    if text is None:
        program.mkdir()
    else:
        program.write_text(text)
    program.chmod(mode)
    with pytest.raises(DaneError, match=f"{program} (cannot be run \\(.*\\); install its package again|is not installed)"):
        process.run([str(program)], outlives=outlives)


def test_the_end_is_read_of_a_program_that_does_not_stop_talking() -> None:
    done = process.run(["sh", "-c", "head -c 3000000 /dev/zero; echo the error"], outlives=True)
    assert len(done.stdout) == process.OUTPUT_MAX == 1 << 20 and done.stdout.endswith(b"\0the error\n")


def test_a_program_that_outlives_this_one_can_go_on_talking(tmp_path: Path) -> None:
    for name in ("started", "go", "end"):
        os.mkfifo(tmp_path / name)
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho >started\nread -r line <go\necho more\necho even more\necho >end\n")
    script.chmod(0o755)
    started, end = (os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK) for name in ("started", "end"))
    code = f"from {process.__name__} import run; run(['timeout', '60', './script'], outlives=True)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) as parent:
        assert select.select([started], [], [], 60)[0]
        parent.kill()
    (tmp_path / "go").write_text("\n")
    assert select.select([end], [], [], 20)[0]
    os.close(started)
    os.close(end)
