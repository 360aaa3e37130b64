# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a person or an accident does to a fleet, and in whatever order: no invariant is broken, and every wait ends."""
from __future__ import annotations

from controllers import Ours
from fleet import FOREIGN, TIMER, Fleet, Troubles
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from servers import Faults
from worlds import CERTIFICATES

TIME = st.integers(1, 400)                     # seconds
ONE = st.integers(0, 5)                        # which host, endpoint, server or owner, as far as there are so many


class Rollover(RuleBasedStateMachine):
    """Rules are what happens; between them time passes only where a rule says so."""

    @initialize(hosts=st.integers(1, 3), unpublished=st.booleans(), seed=st.integers(0, 9), scheme=st.sampled_from(["keys", "certificates", "both"]))
    def begin(self, hosts: int, unpublished: bool, seed: int, scheme: str) -> None:
        troubles = Troubles() if scheme == "keys" else Troubles(**CERTIFICATES)
        troubles.unpublished, troubles.change = unpublished, 1e-9 if scheme == "both" else 0.0
        self.fleet = Fleet(f"machine {seed}", Faults(), troubles, hosts)
        self.controller = Ours(self.fleet)
        self.fleet.running = False             # nobody promises that it comes by
        self.lost = False

    def _host(self, number: int):  # type: ignore[no-untyped-def]
        return self.fleet.hosts[number % len(self.fleet.hosts)]

    def _server(self, number: int):  # type: ignore[no-untyped-def]
        return self.fleet.world.servers[number % len(self.fleet.world.servers)]

    @rule(seconds=TIME)
    def time_passes(self, seconds: int) -> None:
        for _second in range(seconds):
            self.fleet.second()

    @rule(times=st.integers(1, 12), died=st.none() | st.integers(0, 8))
    def the_controller_runs(self, times: int, died: int | None) -> None:
        """So often, and in the last run it dies before one of its effects."""
        for time in range(times):
            for number, _effect in enumerate(self.controller.run()):
                self.fleet.second()
                if number == died and time == times - 1:
                    break
            for _second in range(TIMER):
                self.fleet.second()

    @rule(number=ONE)
    def another_key_is_asked_for(self, number: int) -> None:
        self._host(number).asked = True

    @rule(number=ONE, both=st.booleans(), revoke_now=st.booleans())
    def a_key_is_stolen(self, number: int, both: bool, revoke_now: bool) -> None:
        self.fleet.compromise(self._host(number), both, revoke_now)

    @rule(number=ONE, ttl=st.sampled_from([5, 20, 60]))
    def a_ttl_is_changed(self, number: int, ttl: int) -> None:
        self.fleet.ttls[sorted(self.fleet.ttls)[number % 2]] = ttl

    @rule(seconds=TIME)
    def the_ca_is_down(self, seconds: int) -> None:
        self.fleet.ca_up_from = self.fleet.now + seconds

    @rule(number=ONE, seconds=TIME)
    def a_host_is_not_heard(self, number: int, seconds: int) -> None:
        self._host(number).unheard_until = self.fleet.now + seconds

    @precondition(lambda self: self.fleet.troubles.change)
    @rule()
    def the_scheme_is_changed(self) -> None:
        self.fleet.change_scheme()

    @rule(number=ONE, seconds=TIME)
    def services_are_not_restarted(self, number: int, seconds: int) -> None:
        for endpoint in self._host(number).endpoints[number % 2::2]:
            endpoint.old_until = self.fleet.now + seconds

    @rule(number=ONE, seconds=TIME)
    def a_foreign_certificate_is_put_in(self, number: int, seconds: int) -> None:
        endpoint = self._host(number).endpoints[-1]
        endpoint.presents, endpoint.old_until = FOREIGN, self.fleet.now + seconds

    @rule(number=ONE, seconds=TIME)
    def a_name_server_is_silent_to_us(self, number: int, seconds: int) -> None:
        self._server(number).silent_until = self.fleet.now + 3 * seconds

    @rule(number=ONE, seconds=TIME)
    def a_name_server_does_not_reach_its_primary(self, number: int, seconds: int) -> None:
        self._server(number).cut_until = self.fleet.now + 3 * seconds

    @rule(number=ONE, killed=st.booleans(), believes=st.booleans())
    def a_name_server_restarts(self, number: int, killed: bool, believes: bool) -> None:
        self.fleet.world.restart(self._server(number), killed, believes)

    @rule()
    def a_name_server_comes_or_goes(self) -> None:
        self.fleet.world.change()

    @rule(seconds=TIME)
    def the_zone_seems_bogus(self, seconds: int) -> None:
        self.fleet.bogus_until = self.fleet.now + seconds

    @rule(older=st.booleans())
    def the_record_is_lost_or_an_older_one_is_put_in_its_place(self, older: bool) -> None:
        (self.controller.restore if older else self.controller.lose)()

    @invariant()
    def no_invariant_is_broken(self) -> None:
        if hasattr(self, "fleet"):
            assert not self.fleet.wrong, self.fleet.wrong[:3]

    def teardown(self) -> None:
        """In the end all is calm: what was asked for is done, and the account of waits finds none without an end."""
        if not hasattr(self, "fleet"):
            return
        fleet = self.fleet
        fleet.running = True
        end = fleet.now + 800 + 3 * fleet.bound  # by then the world is calm, and one roll may follow another
        while fleet.now < end and (any(host.asked for host in fleet.hosts) or fleet.now < end - 2 * fleet.bound):
            for _effect in self.controller.run():
                fleet.second()
            for _second in range(TIMER):
                fleet.second()
        assert not fleet.wrong, fleet.wrong[:3]
        assert not any(host.asked for host in fleet.hosts)


TestRollover = Rollover.TestCase
TestRollover.settings = settings(max_examples=40, stateful_step_count=25, deadline=None, derandomize=True)


def test_a_key_is_stolen_before_a_name_server_was_asked() -> None:
    """A run of the machine that once broke the judge: nothing was served when the next key went live."""
    machine = Rollover()
    machine.begin(hosts=1, unpublished=True, seed=0, scheme="both")
    for _time in range(8):
        machine.the_scheme_is_changed()
    machine.the_ca_is_down(1)
    machine.services_are_not_restarted(0, 268)
    machine.a_key_is_stolen(0, both=False, revoke_now=True)
    machine.no_invariant_is_broken()
    machine.teardown()
