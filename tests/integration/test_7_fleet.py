# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet whose mail host is not its name server: mail both ways with a provider that judges, a host that is off, a newer controller."""
from __future__ import annotations

import re
import threading
import uuid

import pytest
from lab_client import (
    ACME,
    ADDRESSES,
    CONTROL,
    FLEET,
    HOME,
    INVENTORY,
    MAIL_HOSTS,
    MX2,
    PEER,
    ROOT,
    ZONE,
    Run,
    good,
    lab,
    on,
    playbook,
    recap_of,
    site,
    start_again,
    wait_for,
)

WHERE = [(name, address) for name, host in MAIL_HOSTS.items() for address in ADDRESSES[host]]
CONTROL_ROOT = "/root/selfhost.dane"
# what the resolver of peer serves of mx2
RECORDS = f"for q in '_25._tcp.{MX2} TLSA' '{MX2} A' '{MX2} AAAA' '{ZONE} MX'; do dig +short $q | sort; done"


pytestmark = pytest.mark.usefixtures("fleet")


def finger(name: str, address: str) -> str:
    """What a DANE sender says of one address of a mail host."""
    family = "ipv6" if ":" in address else "ipv4"
    return on(PEER, f"posttls-finger -c -a {family} -l dane -L summary '[{name}]'", check=False)


def is_verified(said: str, name: str, address: str) -> bool:
    return f"Verified TLS connection established to {name}[{address}]:25: TLSv1.3" in said


@pytest.mark.parametrize(("name", "address"), WHERE)
def test_every_address_of_every_mx_is_verified(name: str, address: str) -> None:
    assert is_verified(said := finger(name, address), name, address), said


@pytest.mark.parametrize("name", MAIL_HOSTS)
def test_mail_goes_both_ways_over_tls_1_3_and_passes_spf_and_dmarc(name: str) -> None:
    token = uuid.uuid4().hex
    on(PEER, f"printf 'Subject: {token}\\n\\nhello\\n' | /usr/sbin/sendmail -f peer@peer.example kato@{name}")
    wait_for(lambda: token in on(MAIL_HOSTS[name], "cat /var/mail/kato", check=False), f"the mail in kato's mailbox at {name}", 60)
    came = message(on(MAIL_HOSTS[name], "cat /var/mail/kato"), token)
    assert re.search(r"from peer\.example .*version=TLSv1\.3 .*verify=OK\)", came, re.DOTALL), came
    assert f"Verified TLS connection established to {name}[" in on(PEER, "tail -50 /var/log/mail.log")

    answer = uuid.uuid4().hex
    on(MAIL_HOSTS[name], f"printf 'From: kato@{ZONE}\\nSubject: {answer}\\n\\nback\\n' | runuser -u kato -- /usr/sbin/sendmail peer@peer.example")
    wait_for(lambda: answer in on(PEER, "cat /var/mail/peer", check=False), "the answer in peer's mailbox", 60)
    came = message(on(PEER, "cat /var/mail/peer"), answer)
    assert re.search(rf"Received: from {name} \({name} \[.*\]\)\s+\(using TLSv1\.3 ", came), came
    results = "\n".join(re.findall(r"^Authentication-Results: peer\.example; .*", came, re.MULTILINE))
    assert "spf=pass" in results and f"dmarc=pass (p=reject dis=none) header.from={ZONE}" in results and "fail" not in results, came


def message(mailbox: str, token: str) -> str:
    """The message of a mailbox with that subject."""
    return next(one for one in mailbox.split("\nFrom ") if f"Subject: {token}" in one)


def test_a_forged_sender_fails_spf_and_is_rejected_by_dmarc() -> None:
    token = uuid.uuid4().hex
    script = f"""
import smtplib
with smtplib.SMTP("peer.example", timeout=60) as mail:
    mail.ehlo("{ACME}"); mail.mail("{token}@{ZONE}"); print("without TLS:", mail.rcpt("peer@peer.example")); mail.rset()
    mail.starttls(); mail.ehlo("{ACME}")
    print("over TLS:", mail.mail("{token}@{ZONE}"), mail.rcpt("peer@peer.example"), mail.data("From: kato@{ZONE}\\r\\n\\r\\nforged\\r\\n"))
"""
    said = on(ACME, "python3 -", stdin=script)
    assert re.search(r"without TLS: \(550, .*ncryption", said), said
    assert re.search(rf"over TLS: \(250, .*\) \(250, .*\) \(550, .*rejected by DMARC policy for {ZONE}", said), said
    marked = wait_for(lambda: re.findall(rf".*envelope-from={token}@.*", on(PEER, "journalctl --no-pager -o cat -t policyd-spf")), "SPF is judged")
    assert f"spf=fail (SPF fail - not authorized) smtp.mailfrom={ZONE}" in marked[0], marked


def test_a_client_without_a_reverse_name_is_refused() -> None:
    script = """
import smtplib
with smtplib.SMTP("198.51.100.20", source_address=("198.51.100.99", 0), timeout=60) as mail:
    mail.ehlo("acme.example"); mail.starttls(); mail.ehlo("acme.example"); mail.mail("peer@peer.example"); print(mail.rcpt("peer@peer.example"))
"""
    on(ACME, "ip address add 198.51.100.99/24 dev eth0")
    try:
        said = on(ACME, "python3 -", stdin=script)
    finally:
        on(ACME, "ip address del 198.51.100.99/24 dev eth0")
    assert "cannot find your hostname" in said, said


def test_the_peer_shows_a_certificate_of_the_ca() -> None:
    said = on(PEER, "openssl verify -purpose sslclient -CAfile /etc/ssl/lab-acme-root.pem -untrusted /etc/postfix/client.pem /etc/postfix/client.pem")
    assert said == "/etc/postfix/client.pem: OK\n"
    assert on(PEER, "postconf -h smtp_tls_chain_files") == "/etc/postfix/client.pem\n"


class Watcher(threading.Thread):
    """A DANE sender that looks at every address of every MX again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.stop = threading.Event()
        self.seen: list[tuple[str, str, str]] = []

    def run(self) -> None:
        while not self.stop.is_set():
            self.seen += [(name, address, finger(name, address)) for name, address in WHERE]
            self.stop.wait(0.5)


def test_a_host_that_is_off_keeps_its_records_and_converges_when_it_is_back() -> None:
    before = on(PEER, RECORDS)
    assert "3 1 1" in before and ADDRESSES[MX2][0] in before and f"20 {MX2}." in before, before
    watcher = Watcher()
    watcher.start()
    try:
        on(MX2, "systemctl disable sendmail")  # there is something to do when it is back
        lab("podman", "stop", MX2)
        on(HOME, "systemctl stop unbound")     # and on another host meanwhile
        done = site(*FLEET)
        assert done.status == 4, done.output
        assert re.search(rf"Not reached, or failed on the way: {re.escape(MX2)}\.", done.output), done.output
        assert done.recap[MX2]["unreachable"] == 1 and done.total("failed") == 0
        assert f"_25._tcp.{MX2}.: kept as it is published; {MX2} has not reported in this run" in " ".join(done.output.split())
        assert on(HOME, "systemctl is-active unbound") == "active\n"
        on(PEER, f"unbound-control flush_zone {ZONE}")
        assert on(PEER, RECORDS) == before

        start_again(MX2)
        done = good(site(*FLEET))
        assert done.recap[MX2]["changed"] == done.total("changed") > 0 and "Not reached" not in done.output, done.output
        assert on(PEER, RECORDS) == before
    finally:
        watcher.stop.set()
        watcher.join()
    off = [said for name, address, said in watcher.seen if name == MX2 and not is_verified(said, name, address)]
    wrong = [said for name, address, said in watcher.seen
             if not is_verified(said, name, address) and not (name == MX2 and re.search("No route to host|refused|timed out|lost connection", said))]
    assert off and not wrong, wrong
    print(f"{len(watcher.seen)} looks, {len(off)} of them while {MX2} was off, {len(wrong)} mismatches")


def from_control(name: str, *arguments: str) -> Run:
    """Run a playbook of the collection on control."""
    inventory = " ".join((*INVENTORY, *FLEET)).replace(str(ROOT), CONTROL_ROOT)
    said = on(CONTROL, f"cd {CONTROL_ROOT} && ANSIBLE_CONFIG=examples/ansible.cfg .venv/bin/ansible-playbook {inventory} {name} {' '.join(arguments)};"
              " echo status=$?", seconds=900)
    return Run(int(said.rsplit("status=", 1)[1]), said, recap_of(said))


def test_the_newer_ansible_core_runs_the_same_playbooks_on_the_same_hosts() -> None:
    good(playbook("tests/lab/control.yml", *FLEET))
    assert "ansible [core 2.21." in on(CONTROL, f"{CONTROL_ROOT}/.venv/bin/ansible --version")
    done = good(from_control("selfhost.dane.site"))
    assert done.total("changed") == 0, done.output

    on(MX2, "systemctl stop sendmail")
    done = good(from_control("selfhost.dane.site", "--limit", MX2))
    assert ": Restart sendmail]" in done.output, done.output
    good(from_control("selfhost.dane.verify"))


def test_molecule_passes_from_the_newer_ansible_core() -> None:
    """The scenario's steps that need no lab of their own; its inventory is the example's, without the fleet."""
    said = on(CONTROL, f"cd {CONTROL_ROOT} && . .venv/bin/activate && export MOLECULE_GLOB='molecule/*/molecule.yml'"
              " && sed -i 's/test_sequence: .*/test_sequence: [converge, idempotence, verify]/' .config/molecule/config.yml"
              " && molecule --base-config .config/molecule/config.yml test --scenario-name default 2>&1; echo status=$?", seconds=900)
    assert said.endswith("status=0\n") and "PLAY [Look from the wire]" in said, said
