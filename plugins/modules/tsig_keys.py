#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module tsig_keys: TSIG keys of a name server."""
from __future__ import annotations

DOCUMENTATION = r"""
module: tsig_keys
author: The selfhost.dane authors (@selfhost-dane)
version_added: 0.1.0
short_description: Make or keep the TSIG keys of an NSD server
description:
  - Has each key in a file of its own (0600 in a directory 0700), which C(nsd.conf) includes.
  - A primary makes its key and returns the secret, for its secondaries. Use C(no_log) on the task.
  - A key that is neither made nor given stays as it is, so a secondary whose primary is down keeps its key.
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  keys:
    description: The keys.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the key, a domain name. By custom that of the primary host.
        type: str
        required: true
      secret:
        description: The secret in base64, as the primary returned it.
        type: str
      generate:
        description: Make the key where it is not there, and return its secret.
        type: bool
        default: false
  directory:
    description: Where the key files are.
    type: str
    default: /etc/nsd/selfhost-dane-tsig
"""

EXAMPLES = r"""
- name: Make the key of this primary
  selfhost.dane.tsig_keys:
    keys:
      - name: vps.pyon.example
        generate: true
  register: tsig
  no_log: true
"""

RETURN = r"""
keys:
  description: The keys, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the key.
      type: str
    path:
      description: Its file.
      type: str
    present:
      description: Whether the key is there.
      type: bool
    secret:
      description: The secret, only of keys with O(keys[].generate).
      type: str
  sample:
    - name: vps.pyon.example
      path: /etc/nsd/selfhost-dane-tsig/vps.pyon.example.conf
      present: true
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.errors import DaneError, sentence
from ..module_utils.tsig import ensure


def main() -> None:
    """Run the module."""
    key = {
        "name": {"type": "str", "required": True},
        "secret": {"type": "str", "no_log": True},
        "generate": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={
            # The list itself is no secret; each secret in it is.
            "keys": {"type": "list", "elements": "dict", "required": True, "options": key, "no_log": False},
            "directory": {"type": "str", "default": "/etc/nsd/selfhost-dane-tsig"},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure(module.params["keys"], module.params["directory"], check=module.check_mode)
    except (DaneError, OSError) as error:
        module.fail_json(msg=sentence(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
