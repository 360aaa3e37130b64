# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that die in the middle, for the tests of what is left then."""
from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest


def dies(monkeypatch: pytest.MonkeyPatch, root: Path, at: int, effects: Iterable[tuple[Any, str]]) -> list[str]:
    """Die in place of the `at`-th of the `effects` (owner, name of a function), and do none after it; the list fills with their names.

    Of the functions of `os` only those that are called with a path below `root`, or inside a directory that is open, count.
    """
    seen: list[str] = []

    def wrap(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def dying(*arguments: Any, **options: Any) -> Any:
            if owner is os and "dir_fd" not in options and not any(str(one).startswith(f"{root}/") for one in arguments):
                return original(*arguments, **options)
            seen.append(name)
            if len(seen) > at:
                raise KeyboardInterrupt  # the dead do not clear up either
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, dying)

    for owner, name in effects:
        wrap(owner, name)
    return seen
