# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers to roll_tls_key.yml, judged, and what follows from them."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import emergency
from ..module_utils.errors import DaneError

Json = Mapping[str, Any]


def roll_order(slices: Sequence[Json], host: Any, certificate: Any, why: Any, reports: Iterable[Json] | None = None,
               published: Iterable[Json] = ()) -> dict[str, Any]:
    """What the plan is to be told, and what is to be known beforehand; without reports the answers are only judged."""
    try:
        meant = emergency.places(slices, str(host), str(certificate), str(why))
        burnt = [] if reports is None else emergency.compromised(meant, str(why), reports, published)
        wishes, lines = emergency.wishes(slices, meant, str(why), burnt)
    except DaneError as error:
        return {"wrong": str(error), "places": [], "wishes": {}, "lines": []}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(f"roll_order takes the slices of hosts with certificates, and what modules returned: {error!r}") from error
    return {"wrong": "", "places": [list(place) for place in meant], "wishes": wishes, "lines": lines}


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"roll_order": roll_order}
