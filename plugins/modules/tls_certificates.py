#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module tls_certificates: the keys and certificates of a host."""
from __future__ import annotations

DOCUMENTATION = r"""
module: tls_certificates
author: The selfhost.dane authors (@selfhost-dane)
version_added: 0.1.0
short_description: Keep the keys and certificates of a host
description:
  - Makes for each certificate its current and its next private key, has dehydrated order the certificate where it is due,
    judges what the CA sent, and puts it live by the rename of one symbolic link.
  - Renewals are always for the current key, so no TLSA record (RFC 6698) has to change, but for O(bound). The keys never leave the host.
  - Keys are changed by O(steps) alone. The timer takes none.
  - A certificate is due when none is live, when a third of its life is left, when its names are others than wanted, when it is one of
    O(revoked), or when its chain is broken or has expired.
  - Then every endpoint is asked what it presents. A unit that presents an older certificate is restarted; where that
    does not help, the certificate before is made live again. Where there is no going back either, the unit is not restarted for that
    endpoint again before it presents something else, or something else is live; the report has its error.
  - Where the CA is down or refuses, what is live stays. That is a warning as long as it is valid, else an error.
  - The host's own timer does the same without a controller, by C(selfhost-dane renew).
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
    details: The CA is not asked. The endpoints of the host are.
  diff_mode:
    support: full
options:
  host:
    description: How the host is called in the report.
    type: str
    required: true
  addresses:
    description: The addresses of the host, IPv4 and IPv6, at which its services answer.
    type: list
    elements: str
    required: true
  certificates:
    description: The certificates of the host. One that is no longer named here is left as it is.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What it is called, a host name in lower case.
        type: str
        required: true
      names:
        description: The names in it. The default is its own name.
        type: list
        elements: str
      algorithm:
        description: The algorithm of new keys.
        type: str
        choices: [ecdsa-p256, rsa-2048, rsa-3072, rsa-4096]
        default: ecdsa-p256
      services:
        description: What presents it, one for each service and name.
        type: list
        elements: dict
        default: []
        suboptions:
          service:
            description: The protocol.
            type: str
            choices: [https, smtp]
            required: true
          port:
            description: TCP port.
            type: int
            required: true
          name:
            description: The host name to ask for (SNI).
            type: str
            required: true
  units:
    description:
      - The systemd unit of each service, to be restarted.
      - A unit that is not active is left alone. A service without a unit is only looked at.
    type: dict
    default: {}
  readers:
    description:
      - The systemd units, by certificate, that present it at no address in O(addresses), such as a server on localhost.
      - One that started before the certificate went live, or that has failed, is restarted, with O(probe). One that somebody has stopped is
        left alone.
    type: dict
    default: {}
  dehydrated_command:
    description: The program dehydrated.
    type: path
    default: /usr/bin/dehydrated
  dehydrated_config:
    description: Its configuration. Its hook must print the CSR of the certificate on C(generate_csr).
    type: path
    default: /etc/dehydrated/config
  requests:
    description: Directory in which that hook finds a CSR as C(<certificate>.csr).
    type: path
    default: /var/lib/selfhost-dane/requests
  directory:
    description: Where keys, versions and live links are.
    type: path
    default: /var/lib/selfhost-dane
  order_timeout:
    description: Seconds that one run of dehydrated may take.
    type: int
    default: 300
  probe_timeout:
    description: Seconds that one endpoint may take to answer.
    type: int
    default: 10
  probe:
    description: Whether to look at the endpoints and to restart units. Without it the report has no endpoints.
    type: bool
    default: true
  steps:
    description:
      - What is to be done to keys, at most one step for each certificate. Each says what it needs to be there, else nothing is changed.
      - One that is done already changes nothing. One that failed is a warning, and without C(retry) it is not tried again before the time
        in the report.
    type: list
    elements: dict
    default: []
    suboptions:
      certificate:
        description: The name of the certificate.
        type: str
        required: true
      step:
        description:
          - V(order) has a certificate issued for the key and keeps it as a version, without using it. The key is the current one, or
            was made after it.
          - V(deploy) makes that version live and looks at each endpoint, with O(probe). Where one that had TLS before does not present
            it after a restart, the version before is made live again, with its own key. A run that dies is completed by the next one,
            also by the timer's.
          - V(delete_key) removes the private key and the versions that have a copy of it. It is refused for the current and the next key,
            and for one that an endpoint presents.
          - V(make_key) makes one more key, where the given one is still the youngest.
        type: str
        choices: [make_key, order, deploy, delete_key]
        required: true
      spki:
        description: The SHA-256 of the key's SPKI in hexadecimal.
        type: str
        required: true
      fingerprint:
        description: The SHA-256 of the certificate to V(deploy), in hexadecimal, as the report has it.
        type: str
        default: ""
      retry:
        description: Whether to try it now, although it failed a short time ago, as somebody has cured what was wrong.
        type: bool
        default: false
  published:
    description:
      - For each certificate the keys of this host that have TLSA records, as SHA-256 of their SPKI in hexadecimal; null where that is not
        known. One that is not named has none.
      - Where nothing is live, the certificate is ordered for the oldest of them, else for the oldest key. It is an error where none of
        them is on the host, and where the host has keys and it is not known which are published.
    type: dict
    default: {}
  bound:
    description:
      - For each certificate whether TLSA records stand for the certificate itself (selector 0), or may in some cache. Then another one is made
        live by O(steps) alone, and the timer does not renew it. Nothing else can know this.
      - Of a certificate that is not named here it is what an earlier run was told, in O(config_path); else it is not so.
    type: dict
    default: {}
  revoked:
    description:
      - The certificates that their CA has revoked or will revoke, while nobody else has the key, as SHA-256 of the certificate in hexadecimal,
        in lower case.
      - Where one of them is live another one is ordered for the same key, and none of them is taken from disk. They are remembered in O(config_path).
    type: list
    elements: str
    default: []
  joining:
    description:
      - Certificates that may become live beside another one of the same name and port, as RSA does beside ECDSA.
      - One that has never been live is ordered and kept until it is named here, or by one of O(steps) if it is O(bound), while the other one
        is live. Peers may know the records of that one alone, and are given either.
    type: list
    elements: str
    default: []
  config_path:
    description: Where to leave these arguments (all but this one, O(probe), O(steps), O(published) and O(joining)) for the timer; nowhere when empty.
    type: path
    default: /etc/selfhost-dane/certificates.json
"""

EXAMPLES = r"""
- name: Keep the certificate of the mail and web server
  selfhost.dane.tls_certificates:
    host: vps.pyon.example
    addresses: [198.51.100.10, "2001:db8:51::10"]
    certificates:
      - name: g.pyon.example
        names: [g.pyon.example]
        services:
          - {service: smtp, port: 25, name: g.pyon.example}
          - {service: https, port: 443, name: g.pyon.example}
    units: {smtp: sendmail, https: apache2}
  register: certificates

- name: Have the certificate present its next key, which has TLSA records that every cache knows
  selfhost.dane.tls_certificates:
    host: vps.pyon.example
    addresses: [198.51.100.10]
    certificates:
      - name: g.pyon.example
        services:
          - {service: smtp, port: 25, name: g.pyon.example}
    units: {smtp: sendmail}
    steps:
      - certificate: g.pyon.example
        step: deploy
        spki: 0b6bfbbbd3d4f2d9b5c14f1c1f1ad4ddff3f13c4d4bb1d3c0a0c7b87b4d0a2a9
        fingerprint: 0d1f0c41b0c4a8f2f1f6a5a40bb6f8a80cc9b93e1f4d4a5d1c7a62f4ea0c1b37
"""

RETURN = r"""
report:
  description: What the host says of its keys, certificates and endpoints. Public digests only.
  returned: always, but for errors found before anything was done
  type: dict
  sample:
    schema: 1
    host: vps.pyon.example
    time: 1795000000
    timers: {renew: true}
    certificates:
      - name: g.pyon.example
        algorithm: ecdsa-p256
        bound: false
        keys:
          - spki: 9d3ab4a0f4a7cd3d6ec83a4ba3c2f1ebf62aa94a2df2d71dd06a2ca6a8d8e0d1
            created: 1795000000
            algorithm: ecdsa-p256
            certificate: {fingerprint: 5f0d2f4a7c5b7a8be9a2e8f4ee0c9a0e9bd0a5db0eb1e43f4a4a2b0d3a6c5e11, not_after: 1802776000}
          - spki: 0b6bfbbbd3d4f2d9b5c14f1c1f1ad4ddff3f13c4d4bb1d3c0a0c7b87b4d0a2a9
            created: 1795000001
            algorithm: ecdsa-p256
            certificate: null
        live:
          fingerprint: 5f0d2f4a7c5b7a8be9a2e8f4ee0c9a0e9bd0a5db0eb1e43f4a4a2b0d3a6c5e11
          spki: 9d3ab4a0f4a7cd3d6ec83a4ba3c2f1ebf62aa94a2df2d71dd06a2ca6a8d8e0d1
          not_before: 1795000000
          not_after: 1802776000
          since: 1795000002
          deployed: 1795000002
          proven: true
        due: ""
        failures: 0
        next_attempt: 0
        error: ""
        roll: null
        endpoints:
          - service: smtp
            port: 25
            name: g.pyon.example
            address: 198.51.100.10
            spki: 9d3ab4a0f4a7cd3d6ec83a4ba3c2f1ebf62aa94a2df2d71dd06a2ca6a8d8e0d1
            fingerprint: 5f0d2f4a7c5b7a8be9a2e8f4ee0c9a0e9bd0a5db0eb1e43f4a4a2b0d3a6c5e11
            error: ""
actions:
  description: What was done, or in check mode would be done, in this order.
  returned: always, but for errors found before anything was done
  type: list
  elements: str
  sample:
    - "g.pyon.example: made the key 9d3ab4a0f4a7cd3d... (ecdsa-p256)"
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.certificates import CONFIG, make_config, run
from ..module_utils.errors import FAULTS, sentence
from ..module_utils.x509 import ALGORITHMS


def main() -> None:
    """Run the module."""
    service = {
        "service": {"type": "str", "required": True, "choices": ["https", "smtp"]},
        "port": {"type": "int", "required": True},
        "name": {"type": "str", "required": True},
    }
    certificate = {
        "name": {"type": "str", "required": True},
        "names": {"type": "list", "elements": "str"},
        "algorithm": {"type": "str", "choices": list(ALGORITHMS), "default": "ecdsa-p256"},
        "services": {"type": "list", "elements": "dict", "default": [], "options": service},
    }
    step = {
        "certificate": {"type": "str", "required": True},
        "step": {"type": "str", "required": True, "choices": ["make_key", "order", "deploy", "delete_key"]},
        "spki": {"type": "str", "required": True, "no_log": False},
        "fingerprint": {"type": "str", "default": ""},
        "retry": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "addresses": {"type": "list", "elements": "str", "required": True},
            "certificates": {"type": "list", "elements": "dict", "required": True, "options": certificate},
            "units": {"type": "dict", "default": {}},
            "readers": {"type": "dict", "default": {}},
            "dehydrated_command": {"type": "path", "default": "/usr/bin/dehydrated"},
            "dehydrated_config": {"type": "path", "default": "/etc/dehydrated/config"},
            "requests": {"type": "path", "default": "/var/lib/selfhost-dane/requests"},
            "directory": {"type": "path", "default": "/var/lib/selfhost-dane"},
            "order_timeout": {"type": "int", "default": 300},
            "probe_timeout": {"type": "int", "default": 10},
            "probe": {"type": "bool", "default": True},
            "steps": {"type": "list", "elements": "dict", "default": [], "options": step},
            "published": {"type": "dict", "default": {}},
            "bound": {"type": "dict", "default": {}},
            "revoked": {"type": "list", "elements": "str", "default": []},
            "joining": {"type": "list", "elements": "str", "default": []},
            "config_path": {"type": "path", "default": CONFIG},
        },
        supports_check_mode=True,
    )
    arguments = dict(module.params)
    own = {name: arguments.pop(name) for name in ("probe", "config_path", "steps", "published", "joining")}
    try:
        config = make_config(arguments)
        result = run(config, check=module.check_mode, **own, say=module.log)
    except FAULTS as error:
        module.fail_json(msg=sentence(error))
    for warning in result.warnings:
        module.warn(warning)
    returned = {"changed": result.changed, "report": result.report, "actions": result.actions,
                "diff": {"before": result.before, "after": result.after}}
    if result.failures:
        module.fail_json(msg=" ".join(f"{line}." for line in result.failures), **returned)
    module.exit_json(**returned)


if __name__ == "__main__":
    main()
