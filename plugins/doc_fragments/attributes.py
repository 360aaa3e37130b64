# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules say of themselves, once for all of them."""
from __future__ import annotations


class ModuleDocFragment:
    """Attributes of every module. A module adds ``support`` to check_mode and diff_mode."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what would change, without changing it.
  diff_mode:
    description: Returns what has changed, or in C(check_mode) what would change, in diff mode.
  idempotent:
    description: When run twice in a row, outside of C(check_mode), with the same arguments, the second run changes nothing.
    support: full
  platform:
    description: Operating systems on which it works.
    support: full
    platforms: posix
  action_group:
    description: Use C(group/selfhost.dane.dane) in C(module_defaults) to set defaults for this module.
    support: full
    membership: [selfhost.dane.dane]
"""
