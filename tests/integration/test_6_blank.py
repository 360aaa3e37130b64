# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blank hosts: check mode, and a controller that is killed; the next run completes what it left.

A seeded sample of kills; all of them are in kills.py, which is `make kills`.
"""
from __future__ import annotations

import random
from pathlib import Path

import pytest
from kills import complete, killed_site
from lab_client import HOME, VPS, blank, good, on, site

SEED = 9
SAMPLE = 2
COUNT = 55  # changed tasks of a run on blank hosts, at the least


def test_check_on_blank_hosts_does_not_fail_and_touches_nothing(internet: None) -> None:
    blank()
    before = {host: on(host, "dpkg-query -W | sha256sum; ls /etc") for host in (VPS, HOME)}
    done = good(site("--check", "--diff"))
    assert done.total("changed") > 0
    assert {host: on(host, "dpkg-query -W | sha256sum; ls /etc") for host in (VPS, HOME)} == before


@pytest.mark.parametrize("point", sorted(random.Random(SEED).sample(range(1, COUNT + 1), SAMPLE)))
def test_a_killed_run_is_completed_by_the_next(internet: None, tmp_path: Path, point: int) -> None:
    blank()
    names = killed_site(point, tmp_path / "changed")
    assert len(names) == point
    complete(names[-1])
