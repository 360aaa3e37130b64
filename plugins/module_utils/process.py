# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs: an argument list, never a shell, always with a time limit."""
from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import nullcontext

from .errors import DaneError

OUTPUT_MAX = 1 << 20  # octets of what a program says into a file that are read, the last: errors come last


def run(argv: list[str], *, timeout: float = 60, stdin: bytes | None = None, directory: str | None = None,
        environment: dict[str, str] | None = None, outlives: bool = False) -> subprocess.CompletedProcess[bytes]:
    """Run `argv` for at most `timeout` seconds; the exit status is the caller's to judge.

    outlives: it goes on where this program is killed.  What it says goes to a file, all as standard output, while a pipe
    without a reader would end it; the last OUTPUT_MAX octets of it are returned.
    Raises DaneError where the program is not there, cannot be run, or does not end in time.
    """
    env = {**os.environ, "LC_ALL": "C", **(environment or {})}
    source: dict[str, object] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    with tempfile.TemporaryFile() if outlives else nullcontext() as file:
        output = {"stdout": file, "stderr": subprocess.STDOUT} if file else {"capture_output": True}
        try:
            done: subprocess.CompletedProcess[bytes] = subprocess.run(argv, timeout=timeout, cwd=directory, env=env,  # type: ignore[call-overload]
                                                                      check=False, **source, **output)
        except FileNotFoundError as error:
            raise DaneError(f"the program {argv[0]} is not installed; install its package") from error
        except OSError as error:  # it may not be executable, or no program at all
            raise DaneError(f"the program {argv[0]} cannot be run ({error.strerror}); install its package again") from error
        except subprocess.TimeoutExpired as error:
            raise DaneError(f"{' '.join(argv)} did not end within {timeout:g} seconds") from error
        if file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - OUTPUT_MAX))
            done.stdout, done.stderr = file.read(), b""
        return done


def checked(argv: list[str], *, timeout: float = 60, stdin: bytes | None = None, directory: str | None = None,
            environment: dict[str, str] | None = None) -> bytes:
    """The standard output of `argv`; DaneError with what it said where it failed."""
    done = run(argv, timeout=timeout, stdin=stdin, directory=directory, environment=environment)
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        raise DaneError(f"{' '.join(argv)} failed with status {done.returncode}: {said[-2000:]}")
    return done.stdout
