# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab for the tests of this directory: up, its internet set up.  The files run in the order of their names."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_client import CONTROL, FLEET, MX2, ROOT, VPS, good, lab, on, playbook, registrar, site, verify
from rolls import FAST


@pytest.fixture(scope="session")
def internet() -> None:
    """The lab's own hosts, whatever state they were in."""
    lab("up", seconds=900)
    good(playbook("tests/lab/lab.yml"))


@pytest.fixture(scope="session")
def converged(internet: None) -> None:
    """The managed hosts as site.yml leaves them, with the DS in the parent, and all green from outside."""
    if any(step().status for step in (registrar, verify)):  # not converged, or altered
        for step in (site, registrar, verify):
            good(step())


@pytest.fixture(scope="module")
def fleet(internet: None) -> None:
    """The fleet as site.yml leaves it, trusting the CAs of the lab, with the DS in the parent, and all green from outside."""
    lab("up", MX2, CONTROL)
    for step in (site(*FLEET), registrar(), playbook(str(ROOT / "tests" / "lab" / "trust.yml"), *FLEET), verify(*FLEET)):
        good(step)


@pytest.fixture(scope="session")
def fast(converged: None) -> Iterator[None]:
    """The hosts with policy times of seconds.  The record goes: it has the long times that were assumed when it was made.

    For all that come after, so the files of those tests are the last ones.
    """
    on(VPS, "rm /var/lib/selfhost-dane/record.json")
    good(site(*FAST))
    yield
    good(site())
