# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blank hosts: check mode, and a controller that is killed after a changed task; the next run completes what it left.

A seeded sample of those; all of them with KILLS=all, which is `make kills`.
"""
from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from lab_client import HOME, ROOT, VPS, blank, good, on, registrar, site, verify

CALLBACK = {"ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "integration" / "callback_plugins"), "ANSIBLE_CALLBACKS_ENABLED": "kill_after"}
SEED = 9
SAMPLE = 2
COUNT = 60  # changed tasks of a run on blank hosts, about; the long form counts them


def test_check_on_blank_hosts_does_not_fail_and_touches_nothing(internet: None) -> None:
    blank()
    before = {host: on(host, "dpkg-query -W | sha256sum; ls /etc") for host in (VPS, HOME)}
    done = good(site("--check", "--diff"))
    assert done.total("changed") > 0
    assert {host: on(host, "dpkg-query -W | sha256sum; ls /etc") for host in (VPS, HOME)} == before


def killed_site(after: int, log: Path) -> list[str]:
    """Run site.yml on blank hosts and kill it after `after` changed tasks; the names of those."""
    blank()
    log.unlink(missing_ok=True)
    done = site(environment={**CALLBACK, "KILL_AFTER": str(after), "KILL_AFTER_LOG": str(log)})
    names = log.read_text().splitlines()
    assert (done.status, len(names)) == (-9, after) if after else done.status == 0, done.output
    return names


def test_a_killed_run_is_completed_by_the_next(internet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "changed"
    if os.environ.get("KILLS") == "all":
        count = len(killed_site(0, log))
        points = list(range(int(os.environ.get("KILLS_FROM", "1")), count + 1))
    else:
        count, points = COUNT, sorted(random.Random(SEED).sample(range(1, COUNT + 1), SAMPLE))
    for point in points:
        name = killed_site(point, log)[-1]
        for step in (site, registrar, verify):
            done = step()
            assert done.status == 0, f"after {name}: {done.output}"
        again = site("--check")
        assert again.status == 0 and again.total("changed") == 0, f"after {name}: {again.output}"
        with capsys.disabled():
            print(f"killed after changed task {name} of {count}: completed", flush=True)
