#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module signed_zones: signs and serves zones."""
from __future__ import annotations

DOCUMENTATION = r"""
module: signed_zones
author: The selfhost.dane authors (@selfhost-dane)
version_added: 0.1.0
short_description: Sign zones with DNSSEC, and have NSD serve them
description:
  - For each zone whose text changed, whose signatures are old or whose signed file is not what NSD serves, flattens the zone
    file, signs it with C(ldns-signzone) and one key of algorithm 13, verifies it with C(ldns-verify-zone) and
    C(nsd-checkzone), installs it by one rename, has NSD load it and waits until NSD serves it.
  - Makes the key of a zone that was never signed, on the host that uses it. It never replaces a key.
  - What does not sign or verify leaves the served zone as it was. One zone that fails does not stop the others, but the
    module fails in the end and names it.
  - In check mode it compares and changes nothing. A task with C(check_mode) set can so notify the handler that signs.
  - The command C(selfhost-dane sign) does the same with the same arguments, from a timer and without a controller.
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The diff says what was signed, and why. The zone text is in the diff of M(selfhost.dane.zone_files).
options:
  zones:
    description: The zones of this primary.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The zone.
        type: str
        required: true
      file:
        description:
          - Absolute path of its zone file. One record on each line; it may include C(mail.inc), C(tlsa.inc) and
            C(records.inc) of the same directory. The serial in it is not used.
        type: str
        required: true
      serial:
        description: The lowest serial that may be published. 0 is any.
        type: int
        default: 0
      secondaries:
        description:
          - Addresses of its secondaries. One that already serves a later serial is an error, as it would never fetch the zone.
            One that does not answer is not.
        type: list
        elements: str
        default: []
  addresses:
    description: The addresses on which the name server of this host answers.
    type: list
    elements: str
    required: true
  signature_validity:
    description: Seconds that a signature is valid.
    type: int
    default: 2419200
  signature_renewal:
    description: Age in seconds at which signatures are made again. Must be less than O(signature_validity).
    type: int
    default: 604800
  time:
    description:
      - The unix time on the controller. Where it differs from the clock of this host by more than O(clock_margin), nothing is signed, for
        signatures by a wrong clock are bogus.
      - Without it, as from the timer, a zone that was signed at a later time than the clock says is an error. With it such a zone is signed
        again, as the clock was ahead then.
    type: int
  clock_margin:
    description: Seconds by which the two clocks may differ.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Compare the served zones with their files
  selfhost.dane.signed_zones: &arguments
    zones:
      - name: pyon.example
        file: /etc/nsd/selfhost-dane/pyon.example/zone
        secondaries: [198.51.100.20, "2001:db8:51::20"]
    addresses: [198.51.100.10, "2001:db8:51::10"]
  check_mode: true
  notify: Re-sign zone

- name: Sign what needs it
  selfhost.dane.signed_zones: *arguments
"""

RETURN = r"""
zones:
  description: The zones, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The zone.
      type: str
    changed:
      description: Whether it was signed or loaded again.
      type: bool
    action:
      description: C(sign), C(reload), or empty.
      type: str
    reason:
      description: Why.
      type: str
    serial:
      description: The serial of the signed file.
      type: int
    ds:
      description: The DS record for the parent. Empty while there is no key, or where the zone failed.
      type: str
    error:
      description: Why it could not be signed and served, in one sentence. Empty where it was.
      type: str
  sample:
    - name: pyon.example
      changed: true
      action: sign
      reason: its text changed
      serial: 1795000000
      ds: pyon.example. IN DS 52049 13 2 223d58582e457c184ebafe49a2930866a96c7523293cfa49ece6f9b10670fcbc
      error: ""
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.errors import DaneError, sentence
from ..module_utils.signing import publish


def main() -> None:
    """Run the module."""
    zone = {
        "name": {"type": "str", "required": True},
        "file": {"type": "str", "required": True},
        "serial": {"type": "int", "default": 0},
        "secondaries": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(
        argument_spec={
            "zones": {"type": "list", "elements": "dict", "required": True, "options": zone},
            "addresses": {"type": "list", "elements": "str", "required": True},
            "signature_validity": {"type": "int", "default": 2419200},
            "signature_renewal": {"type": "int", "default": 604800},
            "time": {"type": "int"},
            "clock_margin": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        result = publish(module.params, check=module.check_mode)
    except (DaneError, OSError) as error:
        module.fail_json(msg=sentence(error))
    failed = result.pop("failed")
    if failed:
        module.fail_json(msg="\n".join(failed), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
