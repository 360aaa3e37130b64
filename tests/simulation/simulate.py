# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The long form: every strategy in every world, and the table of what each did: python tests/simulation/simulate.py [SEEDS]."""
from __future__ import annotations

import sys
from collections import Counter

from controllers import BAD, Controller, Ours, transitions
from fleet import CACHES
from worlds import BITES, SECONDS, WORLDS, live

COLUMNS = (*CACHES, "renewals missed", "rolls overdue", "rolls")


def row(strategy: type[Controller], world: str, seeds: int, caches: bool) -> tuple[Counter[str], list[str]]:
    """Seconds unsafe by kind of cache, and what was missed; and the breaches of invariants."""
    total: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in range(seeds):
        fleet = live(world, seed, strategy, caches)
        total.update(fleet.unsafe)
        total.update({"renewals missed": fleet.counts["missed"], "rolls overdue": fleet.counts["overdue"], "rolls": fleet.counts["rolls"]})
        wrong += [f"{world}, seed {seed}: {text}" for text in fleet.wrong]
    return total, wrong


def main(seeds: int) -> int:
    """Ours must break nothing anywhere, each other strategy what it should."""
    failed = 0
    print(f"{len(WORLDS)} worlds, {seeds} seeds of {SECONDS} simulated seconds each; seconds unsafe, by kind of cache:\n")
    print(f"{'strategy':24} {'world':20}", *(f"{column:>15}" for column in COLUMNS), "  breaks")
    for name, strategy in {"ours": Ours, **BAD}.items():
        for world in WORLDS:
            total, wrong = row(strategy, world, seeds, caches=name == "ours")
            broken = sorted({int(text.split(": ")[1].split(" ")[0]) for text in wrong})
            bites, invariant = BITES.get(name, ("", 0))
            good = not broken if name == "ours" else world != bites or invariant in broken
            failed += not good
            print(f"{name:24} {world:20}", *(f"{total[column]:15}" for column in COLUMNS), " ", *broken or ["nothing"],
                  "" if good else "WRONG", "*" if world == bites else "", flush=True)
            for text in wrong[:3] if name == "ours" else []:
                print("   ", text)
    print("\n* the world that bites this strategy\n\nplan() took these steps:")
    print(*(f"    {kind}: {reason}" for kind, reason in sorted(transitions)), sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
