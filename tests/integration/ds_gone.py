# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The DS of the zone is gone from its parent: an alarm, and nothing else changes.  Of `make rolls`: python -m pytest -s tests/integration/ds_gone.py"""
from __future__ import annotations

from lab_client import good, registrar, verify, wait_for
from rolls import FAST, KEEP, renew, served


def test_a_ds_that_is_gone_from_the_parent_is_an_alarm(fast: None) -> None:
    good(renew(*KEEP))
    before, runs = served(), [renew(*KEEP)]

    def alarmed() -> bool:
        runs.append(renew(*KEEP))
        return runs[-1].status == 2

    try:
        good(registrar("-e", '{"registrar_ds": []}'))
        wait_for(alarmed, "the resolver of the primary has no DS any more", 60)
        assert "ALARM: pyon.example had a DS in its parent and has none any more" in " ".join(runs[-1].output.split())
    finally:
        good(registrar())
    wait_for(lambda: not alarmed(), "the resolver of the primary has the DS again", 60)
    good(runs[-1])
    good(verify(*FAST, *KEEP))
    assert served() == before
