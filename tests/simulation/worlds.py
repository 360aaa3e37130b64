# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worlds in which keys are rolled, each full of one kind of trouble, and which strategy breaks what in which of them."""
from __future__ import annotations

from typing import Any

from controllers import Controller, Ours
from fleet import Fleet, Troubles, live_through
from servers import Faults

SECONDS = 6000
CERTIFICATES: dict[str, Any] = {"scheme": "3 0 1", "lifetime": 5400, "key_lifetime": 4000}  # these live long enough for all that they wait for

# name: faults of the name servers, other troubles, hosts (0: 1 to 3 by chance)
WORLDS: dict[str, tuple[Faults, Troubles, int]] = {
    "calm": (Faults(), Troubles(), 0),
    "first publication": (Faults(lag_seconds=60), Troubles(unpublished=True, unheard=0.001, probe_loss=0.1, crash=0.05, foreign=0.003), 0),
    "slow servers": (Faults(lag_seconds=200), Troubles(ask=0.003, compromise=0.0003), 0),
    "silent servers": (Faults(silence=0.004, silence_seconds=900, cut=0.002, cut_seconds=900, loss=0.2), Troubles(ask=0.003, compromise=0.0005), 0),
    "dead servers": (Faults(silence=0.0005, silence_seconds=9000, cut=0.0005, cut_seconds=9000), Troubles(), 0),
    "falling back": (Faults(restart=0.01, write_seconds=120), Troubles(ask=0.003, compromise=0.0003), 0),
    "reviving servers": (Faults(silence=0.004, silence_seconds=900, cut=0.004, cut_seconds=900, restart=0.02, write_seconds=120), Troubles(ask=0.003), 0),
    "changing servers": (Faults(change=0.01, lag_seconds=60), Troubles(ask=0.003), 0),
    "half-known servers": (Faults(change=0.003, cut=0.002, cut_seconds=1500, restart=0.005, write_seconds=30, lag_seconds=60),
                           Troubles(unlearnt=0.02, ask=0.01), 0),
    "TTL changes": (Faults(), Troubles(ttl=0.004, ttls=(3, 20, 60, 300), ask=0.005, compromise=0.0003), 0),
    "CA down": (Faults(), Troubles(ca_down=0.004, cut_short=0.2), 0),
    "lost records": (Faults(silence=0.001), Troubles(lose=0.02, restore=0.01, ask=0.003), 0),
    "restored records": (Faults(), Troubles(restore=0.05, ask=0.01), 1),
    "clocks": (Faults(), Troubles(jump=0.005, reboot=0.005, ask=0.005), 0),
    "clocks, all": (Faults(silence=0.001, restart=0.002, loss=0.1, lag_seconds=60), Troubles(
        jump=0.002, reboot=0.002, ask=0.003, crash=0.05, lose=0.001, compromise=0.0003, unheard=0.001), 0),
    "crashes": (Faults(restart=0.001), Troubles(crash=0.15, cut_short=0.3, stop=0.02, drift=0.2, ask=0.003), 0),
    "several backends": (Faults(), Troubles(unheard=0.002, ask=0.002), 3),
    "pairs": (Faults(lag_seconds=60, restart=0.001), Troubles(join=700, unheard=0.001, probe_loss=0.05, ask=0.001, crash=0.02), 2),
    "pairs, certificates": (Faults(lag_seconds=60), Troubles(
        **CERTIFICATES, join=700, unheard=0.0005, probe_loss=0.05, ask=0.0003, crash=0.02), 2),  # type: ignore[arg-type]
    "pairs, schemes": (Faults(lag_seconds=60), Troubles(lifetime=5400, key_lifetime=None, join=900, change=0.0005, unheard=0.0005, crash=0.03), 2),
    "late restarts": (Faults(), Troubles(late=0.5, probe_loss=0.1), 0),
    "foreign certificates": (Faults(), Troubles(foreign=0.002, probe_loss=0.1, ask=0.002), 0),
    "emergencies": (Faults(silence=0.001, restart=0.002), Troubles(compromise=0.001, both=0.3, revoke_now=0.3), 0),
    "certificates": (Faults(), Troubles(**CERTIFICATES, ask=0.0005), 0),
    "other algorithms": (Faults(lag_seconds=60), Troubles(algorithm=0.001, ask=0.001, compromise=0.0002), 0),
    "kept keys": (Faults(silence=0.001, silence_seconds=400, loss=0.2),
                  Troubles(**{**CERTIFICATES, "key_lifetime": None}, unheard=0.001, crash=0.05), 0),
    "certificates, first": (Faults(lag_seconds=60), Troubles(**CERTIFICATES, unpublished=True, unheard=0.001, probe_loss=0.1, crash=0.05), 0),
    "certificates, all": (Faults(silence=0.002, cut=0.001, restart=0.004, loss=0.2, lag_seconds=60, write_seconds=120, change=0.003),
                          Troubles(**CERTIFICATES, ca_down=0.002, unheard=0.001, cut_short=0.2, probe_loss=0.1, crash=0.05, stop=0.01,
                                   lose=0.002, restore=0.002, ask=0.001, compromise=0.0002, both=0.3, revoke_now=0.3, ttl=0.001, bogus=0.0005, drift=0.1,
                                   late=0.2), 0),
    "changing schemes": (Faults(lag_seconds=60), Troubles(lifetime=5400, key_lifetime=None, change=0.0005, ask=0.0002, unheard=0.0005, crash=0.03), 0),
    "schemes, all": (Faults(silence=0.002, restart=0.002, loss=0.2, lag_seconds=60, change=0.002),
                     Troubles(lifetime=5400, key_lifetime=4000, change=0.0005, algorithm=0.0001, ca_down=0.001, cut_short=0.2, probe_loss=0.1,
                              crash=0.05, stop=0.005, lose=0.003, restore=0.001, ask=0.001, compromise=0.0002, both=0.3, ttl=0.001, drift=0.1,
                              late=0.2, foreign=0.0003), 0),
    "all at once": (Faults(silence=0.002, cut=0.001, restart=0.004, loss=0.2, lag_seconds=60, write_seconds=120, change=0.003),
                    Troubles(ca_down=0.002, unheard=0.001, cut_short=0.2, probe_loss=0.1, crash=0.05, stop=0.01, lose=0.002, restore=0.002,
                             ask=0.001, compromise=0.0002, both=0.3, revoke_now=0.3, ttl=0.001, bogus=0.0005, drift=0.1, late=0.2), 0),
}

# strategy: the world that bites it, and the invariant that it breaks there
BITES = {
    "1 the talk's script": ("calm", 1),
    "2 by the clock": ("silent servers", 1),
    "3 one server": ("silent servers", 1),
    "4 dehydrated's rollover": ("CA down", 1),
    "5 today's TTL": ("TTL changes", 1),
    "6 no lead, no D": ("falling back", 1),
    "6 no lead": ("slow servers", 1),
    "7 switch, then publish": ("calm", 1),
    "8 future issuer": ("calm", 1),
    "9 never": ("calm", 5),
    "9 for ever": ("dead servers", 5),
    "10 lost, as if nothing": ("lost records", 7),
    "11 first of two": ("several backends", 1),
    "12 IPv4 only": ("late restarts", 1),
    "1 the script, 3 0 1": ("certificates", 1),
    "13 own timers": ("certificates", 1),
    "14 free at once": ("changing schemes", 1),
    "15 both at once": ("pairs", 1),
    "16 those that are known": ("half-known servers", 4),
}


def live(world: str, seed: int, strategy: type[Controller] = Ours, caches: bool = False) -> Fleet:
    """A fleet that has lived in `world`, its keys rolled by `strategy`; the same for the same `seed`."""
    faults, troubles, hosts = WORLDS[world]
    fleet = Fleet(f"{world} {seed}", faults, troubles, hosts, caches)
    live_through(fleet, strategy(fleet), max(SECONDS, 3 * troubles.lifetime))
    return fleet
