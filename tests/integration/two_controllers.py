# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two controllers run renew.yml at the same time, again and again: keys roll, each run ends well, and no DANE client meets a key that it cannot verify.

One waits for the locks of the other, and a step that is done already is no error (docs/architecture.md, "Two runs at once").

Of `make rolls`: python -m pytest -s tests/integration/two_controllers.py
"""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from lab_client import ACME, PEER, VPS, good, on, verify
from rolls import FAST, LIVE, peers, renew

CONTROLLERS, ROLLS = 2, 2


def test_two_controllers_roll_keys_and_no_peer_notices(fast: None) -> None:
    live, runs = [on(VPS, LIVE)], 0
    with peers() as seen, ThreadPoolExecutor(CONTROLLERS) as controllers:
        while len(live) <= ROLLS:
            assert runs < 60 * ROLLS, f"{runs} runs, live: {live}"
            for done in [controllers.submit(renew) for _controller in range(CONTROLLERS)]:
                good(done.result())
            runs += CONTROLLERS
            if (now := on(VPS, LIVE)) != live[-1]:
                live.append(now)
    print(f"{runs} runs, {CONTROLLERS} at a time, {len(live) - 1} rolls: {seen.summary()}")
    assert len(set(live)) == ROLLS + 1
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    good(verify(*FAST))
