# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock that never runs ahead of the true time."""
from __future__ import annotations

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils.clock import Clock, Reading, advance, read
from hypothesis import given
from hypothesis import strategies as st

START = Clock(1000, Reading(1000, 50, "a"), 1000)


@pytest.mark.parametrize(("reading", "controller", "time", "trouble"), [
    (Reading(1060, 110, "a"), 1060, 1060, False),
    (Reading(1060, 110, "a"), None, 1060, False),
    (Reading(9060, 110, "a"), 1060, 1060, True),         # set forward: the clock since the start counts
    (Reading(1060, 999, "a"), 1060, 1060, False),        # that one runs too fast: the wall clock counts
    (Reading(500, 110, "a"), 500, 1000, False),          # set back: time stands still
    (Reading(1060, 5, "b"), 1060, 1060, False),          # started again
    (Reading(1060, 5, "b"), 1121, 1000, True),           # and the controller does not agree
    (Reading(1060, 5, "b"), 1120, 1060, False),
    (Reading(1060, 5, "b"), 1000, 1000, False),
])
def test_time_passes_by_the_smaller_of_both(reading: Reading, controller: int | None, time: int, trouble: bool) -> None:
    clock, said = advance(START, reading, controller, 60)
    assert clock.time == time and bool(said) is trouble
    assert not trouble or f"are {abs(reading.wall - (controller or 0))} seconds apart, more than clock_margin 60; set them right" in said


def test_a_reading_that_is_older_than_the_last_one_lets_no_time_pass_twice() -> None:
    last, _trouble = advance(START, Reading(1010, 60, "a"), 1010, 60)
    older, _trouble = advance(last, Reading(1008, 58, "a"), 1008, 60)  # its run has waited for the lock
    assert older == last and advance(older, Reading(1020, 70, "a"), 1020, 60)[0].time == 1020


def test_what_could_not_be_told_counts_once_the_clocks_agree() -> None:
    clock, _trouble = advance(START, Reading(1060, 5, "b"), 5000, 60)
    assert advance(clock, Reading(1090, 35, "b"), 1090, 60)[0].time == 1090


@pytest.mark.parametrize("controller", [1060, None])
def test_a_wall_clock_that_was_set_back_before_a_start_lets_no_time_pass_twice(controller: int | None) -> None:
    back, _trouble = advance(START, Reading(560, 110, "a"), controller, 60)
    assert advance(back, Reading(1090, 5, "b"), 1090, 60)[0].time == 1030, "60 of the 90 seconds were not counted, and are not made up for"


def test_a_wall_clock_that_was_set_forward_and_right_again_counts_on_from_there() -> None:
    ahead, _trouble = advance(START, Reading(9060, 110, "a"), 1060, 60)
    right, _trouble = advance(ahead, Reading(1070, 120, "a"), 1070, 60)
    assert (right.time, right.latest) == (1060, 1070)
    assert advance(right, Reading(1100, 5, "b"), 1100, 60)[0].time == 1090


def test_the_first_reading_is_the_smaller_of_host_and_controller() -> None:
    assert advance(None, Reading(1000, 5, "a"), 990, 60)[0].time == 990
    assert advance(None, Reading(1000, 5, "a"), None, 60)[0].time == 1000


steps = st.lists(st.tuples(st.integers(0, 1000), st.integers(-5000, 5000)), max_size=20)


@given(steps)
def test_it_never_runs_ahead_while_the_machine_runs(many: list[tuple[int, int]]) -> None:
    """True time passes, and the wall clock is set to anything."""
    true, clock = 1000, START
    for passed, wrong in many:
        true += passed
        after, _trouble = advance(clock, Reading(true + wrong, 50 + true - 1000, "a"), None, 60)
        assert clock.time <= after.time <= true
        clock = after


def test_no_fraction_of_a_second_is_lost_in_many_readings() -> None:
    clock = START
    for number in range(1, 1001):
        clock, _trouble = advance(clock, Reading(1000 + number * 0.7, 50 + number * 0.7, "a"), None, 60)
    assert abs(clock.time - 1700) < 0.01


def test_the_clocks_of_this_machine_can_be_read() -> None:
    one, two = read(), read()
    assert one.boot_id == two.boot_id and 0 <= two.boot - one.boot < 60 and one.wall > 1.7e9
