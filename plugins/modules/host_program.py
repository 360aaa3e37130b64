#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module host_program: the documentation of the action plugin of that name."""
from __future__ import annotations

DOCUMENTATION = r"""
module: host_program
author: The selfhost.dane authors (@selfhost-dane)
version_added: 0.1.0
short_description: Install the program that the timers of a host run
description:
  - Installs the library of this collection (its C(module_utils)) as a Python package and a launcher, with
    M(selfhost.dane.text_files), and removes the files of an older version.
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  directory:
    description: Directory that gets the package C(selfhost_dane).
    type: str
    default: /usr/local/lib/selfhost-dane
  program:
    description: Path of the launcher.
    type: str
    default: /usr/local/sbin/selfhost-dane
"""

EXAMPLES = r"""
- name: Install the program
  selfhost.dane.host_program:
"""

RETURN = r"""
paths:
  description: The paths that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/usr/local/sbin/selfhost-dane]
"""
