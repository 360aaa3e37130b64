# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long who can do what with a compromised key, and the harm that the operator takes."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import emergency
from ..module_utils.errors import DaneError


def roll_harm(exposures: Sequence[Mapping[str, Any]], now: int, answer: Any = None) -> dict[str, Any]:
    """Lines of text, whether the operator has to choose, and what the answer means."""
    try:
        found = {"lines": emergency.harm_lines(exposures, int(now)), "hard": emergency.is_hard(exposures, int(now)), "harm": "stay_up", "wrong": ""}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(f"roll_harm takes the exposures that selfhost.dane.tlsa_rrsets returned: {error!r}") from error
    if found["hard"] and answer is not None:
        try:
            found["harm"] = emergency.judge_harm(str(answer))
        except DaneError as error:
            found["wrong"] = str(error)
    return found


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"roll_harm": roll_harm}
