#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module zone_files: the documentation of the action plugin of that name."""
from __future__ import annotations

DOCUMENTATION = r"""
module: zone_files
author: The selfhost.dane authors (@selfhost-dane)
version_added: 0.1.0
short_description: Render the files of all zones in one task
description:
  - Judges every value of the zones on the controller, renders the templates C(zone.j2), C(mail.inc.j2), C(tlsa.inc.j2) and
    C(records.inc.j2) of the role for each zone, and writes them with M(selfhost.dane.text_files).
  - The templates have one variable, C(zone), in which everything is a token that may stand in a zone file.
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  zones:
    description:
      - The zones, each with name, ttl, tlsa_ttl, serial, soa (mname, rname, refresh, retry, expire, minimum), records and
        mail_records (owner, ttl, type, data), and tlsa (owner, ttl, records).
    type: list
    elements: dict
    required: true
  directory:
    description: Directory that gets one directory for each zone.
    type: str
    default: /etc/nsd/selfhost-dane
"""

EXAMPLES = r"""
- name: Write the zone files
  selfhost.dane.zone_files:
    zones:
      - name: pyon.example
        soa:
          mname: vps.pyon.example.
          rname: hostmaster.pyon.example.
          refresh: 3600
          retry: 600
          expire: 604800
          minimum: 300
        records:
          - owner: pyon.example.
            type: NS
            data: vps.pyon.example.
"""

RETURN = r"""
paths:
  description: The paths that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/nsd/selfhost-dane/pyon.example/zone]
"""
