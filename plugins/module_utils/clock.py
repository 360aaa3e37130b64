# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock that never runs ahead of the true time, whatever happens to the clock of the host.

What must wait for caches must not be let go early by a clock that was set forward.  So time passes by the smaller of what
two clocks say: the wall clock and the one that runs since the machine was started.  Across a start there is only the wall
clock, which then has to agree with the controller's.
"""
from __future__ import annotations

import time
from dataclasses import dataclass

BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True)
class Reading:
    """What the clocks of a host show: unix seconds, seconds since it was started, and which start that was."""

    wall: float
    boot: float
    boot_id: str


@dataclass(frozen=True)
class Clock:
    """The safe `time` in unix seconds, at most the true one, when `reading` was taken.

    latest: at least the true time then; what passes across a start counts from there, as the wall clock of `reading` may be behind.
    """

    time: float
    reading: Reading
    latest: float


def read() -> Reading:
    """The clocks of this host."""
    with open(BOOT_ID, encoding="ascii") as stream:
        return Reading(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), stream.read().strip())


def apart(wall: float, controller: float, margin: int) -> str:
    """Why the host's unix seconds `wall` are not to be trusted, in a sentence: they are more than `margin` seconds from the controller's; else ""."""
    seconds = abs(wall - controller)
    return "" if seconds <= margin else (f"the clocks of this host and of the controller are {seconds:.0f} seconds apart, more than clock_margin {margin};"
                                         " set them right")


def advance(before: Clock | None, reading: Reading, controller: float | None, margin: int) -> tuple[Clock, str]:
    """The clock at `reading`, and why nothing may be decided by it, in a sentence; "" where it may.

    controller: the controller's unix seconds, None where they are not known.  margin: seconds that the two may be apart.
    """
    trouble = "" if controller is None else apart(reading.wall, controller, margin)
    walls = [reading.wall] if controller is None else [reading.wall, controller]
    if before is None:
        return Clock(min(walls), reading, max(walls)), trouble
    same, since = reading.boot_id == before.reading.boot_id, reading.boot - before.reading.boot
    if same and since < 0:                       # of another controller's run, which has waited for the lock meanwhile
        return before, trouble
    if not same and trouble:
        return before, trouble                   # until they agree nobody knows how long it was off
    passed = min(reading.wall - before.reading.wall, since) if same else min(walls) - before.latest
    # two that agree are right; of one alone, or of two that do not agree, the time since the start is known
    latest = max([*walls, before.latest + since] if same and (trouble or controller is None) else walls)
    return Clock(before.time + max(0, passed), reading, latest), trouble
