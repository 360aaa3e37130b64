#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module text_files: writes a list of text files."""
from __future__ import annotations

DOCUMENTATION = r"""
module: text_files
author: The selfhost.dane authors (@selfhost-dane)
version_added: 0.1.0
short_description: Write a list of text files in one call
description:
  - Writes each file atomically, with a diff for each, and makes missing parent directories (0755).
  - Everything is judged before the first file is written.
  - A symbolic link where a file should be is replaced by the file, never followed. Where a directory should be it is an error.
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  files:
    description: The files, in the order in which they are written.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      state:
        description:
          - V(file) has the given content.
          - V(initial) is written only where nothing is there, and later belongs to the program that changes it.
          - V(directory) is a directory with that mode and owner.
          - V(absent) is not there.
        type: str
        choices: [file, initial, directory, absent]
        default: file
      content:
        description: The text, for V(file) and V(initial).
        type: str
      mode:
        description: Octal mode. The default is 0644, of a directory 0755.
        type: str
      owner:
        description: Name of the owner. The default is who runs the module. In check mode it need not exist yet.
        type: str
      group:
        description: Name of the group, likewise.
        type: str
      validate:
        description:
          - Program and arguments that must accept a new content before anything is written, C(%s) among them being a file with it.
          - Not run in check mode, where what it needs may not be there yet.
        type: list
        elements: str
"""

EXAMPLES = r"""
- name: Write the configuration and remove what an older version left
  selfhost.dane.text_files:
    files:
      - path: /etc/example/one.conf
        content: "answer = 42\n"
      - path: /etc/example/secret.conf
        content: "{{ lookup('ansible.builtin.template', 'secret.conf.j2') }}"
        mode: "0600"
      - path: /etc/unbound/unbound.conf
        content: "{{ lookup('ansible.builtin.template', 'unbound.conf.j2') }}"
        validate: [/usr/sbin/unbound-checkconf, "%s"]
      - path: /etc/example/older.conf
        state: absent
"""

RETURN = r"""
paths:
  description: The paths that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/example/one.conf]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.errors import DaneError, sentence
from ..module_utils.text_files import STATES, apply


def main() -> None:
    """Run the module."""
    entry = {
        "path": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(STATES), "default": "file"},
        "content": {"type": "str"},
        "mode": {"type": "str"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "validate": {"type": "list", "elements": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "required": True, "options": entry},
        },
        supports_check_mode=True,
    )
    try:
        result = apply(module.params["files"], check=module.check_mode)
    except (DaneError, OSError) as error:
        module.fail_json(msg=sentence(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
