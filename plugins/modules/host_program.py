#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module host_program: installs the program that the timers run."""
from __future__ import annotations

DOCUMENTATION = r"""
module: host_program
author: The selfhost.dane authors (@selfhost-dane)
version_added: 0.1.0
short_description: Install the program that the timers of a host run
description:
  - Installs the library of this collection (its C(module_utils)) as a Python package, and a launcher.
  - Each version has a directory of its own, and a link is switched from one to the next by one rename. So a timer that starts meanwhile, or
    after a run that died, finds one version and no mixture. The version before stays for who runs from it; older ones are removed.
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  directory:
    description: Directory that gets the versions, and the link C(current) to one of them, with the package C(selfhost_dane).
    type: path
    default: /usr/local/lib/selfhost-dane
  program:
    description: Path of the launcher.
    type: path
    default: /usr/local/sbin/selfhost-dane
  manifest:
    description: The files of the package and their digests, which the action plugin adds.
    type: str
  archive:
    description: The files, which the action plugin adds where they are wanted.
    type: str
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

import json

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.errors import DaneError, sentence
from ..module_utils.file_tree import unpack
from ..module_utils.program import install


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "default": "/usr/local/lib/selfhost-dane"},
            "program": {"type": "path", "default": "/usr/local/sbin/selfhost-dane"},
            "manifest": {"type": "str", "no_log": True},
            "archive": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        tree = unpack(options["archive"]) if options["archive"] else None
        result = install(options["directory"], options["program"], json.loads(options["manifest"] or "{}"), tree, module.check_mode)
    except (DaneError, OSError) as error:
        module.fail_json(msg=sentence(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
