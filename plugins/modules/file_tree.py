#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module file_tree: keeps a copy of files of the controller."""
from __future__ import annotations

DOCUMENTATION = r"""
module: file_tree
author: The selfhost.dane authors (@selfhost-dane)
version_added: 0.1.0
short_description: Keep a copy of some of the controller's files that is switched in one step
description:
  - Has O(destination), a symbolic link, lead to a directory with the named files and no others. A new copy is made beside it and
    the link switched by one rename, so that a reader finds the old copy or the new one. The copy before stays for who is reading it.
  - What is there is compared file by file, with mode and owner. The files are sent only where something differs.
  - The content of a file is neither shown nor logged.
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the names of the files that differ.
options:
  source:
    description: Directory on the controller. Required.
    type: path
  files:
    description:
      - Files and directories in it, with all that is in them but C(.git), C(__pycache__) and C(*.pyc). They must exist.
      - A link is copied as the file that it leads to, which must lie in O(source) too.
    type: list
    elements: str
    default: []
  optional:
    description: The same, where they exist.
    type: list
    elements: str
    default: []
  destination:
    description: Path of the symbolic link on the host.
    type: path
    required: true
  private:
    description: Whether only its owner may read the copy, modes 0600 and 0700. Otherwise all may, 0644 and 0755.
    type: bool
    default: false
  manifest:
    description: The files and their digests, which the action plugin adds.
    type: str
  archive:
    description: The files, which the action plugin adds where they are wanted.
    type: str
"""

EXAMPLES = r"""
- name: Bring the operator's inventory to a host
  selfhost.dane.file_tree:
    source: "{{ inventory_dir }}"
    files: [inventory.yml]
    optional: [group_vars, host_vars, ansible.cfg]
    destination: /etc/example/project
    private: true
"""

RETURN = r"""
paths:
  description: The files that differed, or in check mode differ.
  returned: success
  type: list
  elements: str
  sample: [inventory.yml]
"""

import json

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.errors import DaneError, sentence
from ..module_utils.file_tree import install, unpack


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path"},  # these three are the action plugin's
            "files": {"type": "list", "elements": "str", "default": []},
            "optional": {"type": "list", "elements": "str", "default": []},
            "destination": {"type": "path", "required": True},
            "private": {"type": "bool", "default": False},
            "manifest": {"type": "str", "no_log": True},
            "archive": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        tree = unpack(options["archive"]) if options["archive"] else None
        result = install(options["destination"], json.loads(options["manifest"] or "{}"), options["private"], tree, module.check_mode)
    except (DaneError, OSError) as error:
        module.fail_json(msg=sentence(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
