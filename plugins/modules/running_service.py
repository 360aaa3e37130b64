#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module running_service: compares running services with the disk."""
from __future__ import annotations

DOCUMENTATION = r"""
module: running_service
author: The selfhost.dane authors (@selfhost-dane)
version_added: 0.1.0
short_description: Tell which running services differ from what is on disk
description:
  - Reads only. Reports C(changed) when a service is to be restarted, so that the task can notify a handler that does it.
  - A service differs when it does not run, when it does not start at boot, when it started before one of its files was
    changed, or when one of its ports does not present the certificate chain on disk.
  - As this looks at what is, and not at what an earlier task changed, a run that died between the change and the restart
    is completed by the next one.
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  services:
    description: The services to compare.
    type: list
    elements: dict
    required: true
    suboptions:
      unit:
        description:
          - The systemd unit, a service or a timer.
          - One that is not installed counts as not running, and is no error, for check mode on a blank host.
        type: str
        required: true
      files:
        description:
          - Files and directories (with all that is in them) which the service reads when it starts.
          - A symbolic link anywhere on the way counts as well as its target. What does not exist is ignored.
          - The date that counts is the ctime, so a change of the mode or a renamed file is noticed.
        type: list
        elements: path
        default: []
      pid_file:
        description:
          - File with the number of the main process in its first line.
          - Only needed where systemd does not know the main process, as with sendmail. Without it that is the oldest process
            of the unit.
        type: path
        default: ""
      presents:
        description: What the ports of the service present.
        type: list
        elements: dict
        default: []
        suboptions:
          address:
            description: IPv4 or IPv6 address.
            type: str
            required: true
          port:
            description: TCP port.
            type: int
            required: true
          service:
            description: How TLS begins there.
            type: str
            choices: [https, smtp]
            required: true
          name:
            description: The host name to ask for (SNI).
            type: str
            required: true
          certificate:
            description: PEM file with the full chain, leaf first.
            type: path
            required: true
          required:
            description:
              - Fail where the O(services[].presents[].certificate) does not exist. Without this the port is not asked then.
              - Check mode does not fail, as an earlier task may have been about to make it.
            type: bool
            default: false
          key:
            description:
              - The private key of the certificate, for a service that starts without TLS when others could read or replace it.
              - Fail where it does not exist, is open to others, or is in a directory that others may write to.
            type: path
            default: ""
          pair:
            description:
              - Whether the port has an ECDSA and an RSA certificate, of which this is one. Then it is asked for in TLS 1.2 with the
                cipher suites of its key, as in TLS 1.3 the choice cannot be made from here. Needs python3-cryptography on the host.
            type: bool
            default: false
  timeout:
    description: Seconds that one port may take to answer.
    type: float
    default: 10
  wait:
    description: Seconds to wait for all services to come right before they are reported.
    type: float
    default: 0
  journal:
    description: How many last lines of the journal to return with each service that differs.
    type: int
    default: 0
  fail:
    description: Fail, with the reasons and the lines of the journal, where a service differs. For a look after the handler.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Compare the name server with its files
  selfhost.dane.running_service:
    services:
      - unit: nsd.service
        files: [/etc/nsd/nsd.conf, /etc/nsd/nsd.conf.d]
  notify: Restart nsd

- name: Compare the mail server with its files and its certificate
  selfhost.dane.running_service:
    services:
      - unit: sendmail.service
        pid_file: /run/sendmail/mta/sendmail.pid
        files: [/etc/mail/sendmail.cf]
        presents:
          - address: 198.51.100.10
            port: 25
            service: smtp
            name: g.pyon.example
            certificate: /var/lib/selfhost-dane/live/g.pyon.example/fullchain.pem
  notify: Restart sendmail

- name: Restart it now
  ansible.builtin.meta: flush_handlers

- name: Fail where the restart has not helped
  selfhost.dane.running_service:
    services:
      - unit: sendmail.service
        pid_file: /run/sendmail/mta/sendmail.pid
    wait: 20
    journal: 20
    fail: true
"""

RETURN = r"""
stale:
  description: The services to restart. Empty when all are what is on disk.
  returned: always
  type: list
  elements: dict
  contains:
    unit:
      description: The systemd unit.
      type: str
    reason:
      description: Why, in one sentence.
      type: str
    journal:
      description: The last lines of its journal, as many as O(journal) asked for.
      type: list
      elements: str
  sample:
    - unit: sendmail.service
      reason: sendmail.service (process 1204) started 3.52 s before /etc/mail/sendmail.cf was changed
      journal: []
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.errors import DaneError
from ..module_utils.running import Endpoint, Service, stale


def main() -> None:
    """Run the module."""
    endpoint = {
        "address": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
        "service": {"type": "str", "required": True, "choices": ["https", "smtp"]},
        "name": {"type": "str", "required": True},
        "certificate": {"type": "path", "required": True},
        "required": {"type": "bool", "default": False},
        "key": {"type": "path", "default": "", "no_log": False},  # the path of it
        "pair": {"type": "bool", "default": False},
    }
    service = {
        "unit": {"type": "str", "required": True},
        "files": {"type": "list", "elements": "path", "default": []},
        "pid_file": {"type": "path", "default": ""},
        "presents": {"type": "list", "elements": "dict", "default": [], "options": endpoint},
    }
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "required": True, "options": service},
            "timeout": {"type": "float", "default": 10},
            "wait": {"type": "float", "default": 0},
            "journal": {"type": "int", "default": 0},
            "fail": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    services = []
    for item in module.params["services"]:
        presents = [Endpoint(**{**port, "required": port["required"] and not module.check_mode}) for port in item["presents"]]
        services.append(Service(item["unit"], item["files"], presents, item["pid_file"]))
    try:
        found = stale(services, timeout=module.params["timeout"], wait=module.params["wait"], lines=module.params["journal"])
    except DaneError as error:
        module.fail_json(msg=str(error))
    if found and module.params["fail"]:
        module.fail_json(msg="\n".join(finding.report() for finding in found), stale=[asdict(finding) for finding in found])
    module.exit_json(changed=bool(found), stale=[asdict(finding) for finding in found])


if __name__ == "__main__":
    main()
