# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""RSA joins ECDSA on a host, both keys roll, and RSA leaves again; no client of either kind meets a key that it cannot verify.

Of `make rolls`: python -m pytest -s tests/integration/pairs.py
"""
from __future__ import annotations

import re

from lab_client import ACME, MX, PEER, ROOT, VPS, good, on, site, verify
from rolls import FAST, HOUR, KEEP, LIVE, Seen, peers, renew, runs_until, served, settled

PAIR = ("-i", str(ROOT / "tests" / "lab" / "pair.yml"))
RSA_LIVE = LIVE.replace(f"/live/{MX}/", "/live/g-rsa/")


def has_rsa(port: int) -> bool:
    """Whether a client without ECDSA is given a certificate."""
    said = on(PEER, f"openssl s_client -connect {MX}:{port} {'-starttls smtp' if port == 25 else ''} -servername {MX} -tls1_2 -cipher aRSA -brief </dev/null",
              check=False)
    assert ("handshake failure" in said) != ("CONNECTION ESTABLISHED" in said), said
    return "CONNECTION ESTABLISHED" in said


def keys_on_disk() -> set[str]:
    """The SPKI digests of the keys that the host has for the name."""
    return set(re.findall(r"-([0-9a-f]{64})\.pem", on(VPS, f"cd /var/lib/selfhost-dane/certificates; ls {MX}/keys g-rsa/keys", check=False)))


def published(port: int) -> set[str]:
    """The SPKI digests that the records of the name have."""
    return {"".join(record.split()[3:]).lower() for record in served()[MX, port]}


def judge(seen: Seen) -> None:
    """Clients failed only where apache restarted, with another configuration, or sendmail, which reads a pair when it starts."""
    wrong = [look for look in seen.wrong() if "efused" not in look["said"]]
    assert not wrong, wrong[:5]
    assert not [line for host in (PEER, ACME) for line in seen.deferred(host) if not re.search("refused|retry time not reached", line)]


def test_rsa_joins_and_no_peer_notices(fast: None) -> None:
    assert not has_rsa(25) and not has_rsa(443)
    on(VPS, "rm -rf /var/lib/selfhost-dane/certificates/g-rsa /var/lib/selfhost-dane/live/g-rsa")  # keys of a run before, which have records still
    runs_until(settled, *KEEP)  # keys that rolled before have yet to be deleted
    others = {port: published(port) - keys_on_disk() for port in (25, 443)}  # of a host that has left the name, say
    with peers(rsa=(MX,)) as seen:
        good(site(*PAIR, *FAST))
        runs = runs_until(lambda: has_rsa(443), *PAIR, *KEEP)
        assert not has_rsa(25)  # site.yml has sendmail present it
        good(site(*PAIR, *FAST, *KEEP))
    print(f"RSA joined in {runs} runs: {seen.summary()}")
    judge(seen)
    keys = keys_on_disk()
    assert has_rsa(25) and has_rsa(443) and len(keys) == 4
    for port in (25, 443):
        assert published(port) == keys | others[port]
    for port in (25, 443):  # first none, then one that is verified, and never none again
        looks = [look["said"] for look in seen.looks if look["kind"] == f"RSA {MX}:{port}" and look["good"]]
        assert looks == sorted(looks, reverse=True) and len(set(looks)) == 2, looks
    good(verify(*PAIR, *FAST, *KEEP))


def test_both_keys_roll_and_no_peer_notices(fast: None) -> None:
    old = [on(VPS, LIVE), on(VPS, RSA_LIVE)]
    with peers(rsa=(MX,)) as seen:
        runs = runs_until(lambda: not {on(VPS, LIVE), on(VPS, RSA_LIVE)} & set(old), *PAIR)
    print(f"both keys rolled in {runs} runs: {seen.summary()}")
    judge(seen)
    assert not any(look["said"] == "no RSA" for look in seen.looks)
    good(verify(*PAIR, *FAST))


def test_sendmail_does_not_start_again_and_no_peer_meets_a_wrong_key(fast: None) -> None:
    """It is off until that is mended, as it reads a pair at its start alone, and then presents what is live."""
    old, directory = on(VPS, LIVE), "/run/systemd/system/sendmail.service.d"
    with peers(rsa=(MX,)) as seen:
        on(VPS, f"mkdir -p {directory}; printf '[Service]\\nExecStartPre=/bin/false\\n' >{directory}/broken.conf; systemctl daemon-reload")
        try:
            broken = next(done for done in (renew(*PAIR) for _run in range(15)) if done.status)
        finally:
            on(VPS, f"rm -r {directory}; systemctl daemon-reload; {HOUR}")
        assert "sendmail" in broken.output, broken.output
        runs = runs_until(lambda: on(VPS, LIVE) != old, *PAIR)
    print(f"sendmail did not start again, {runs} runs after it was mended: {seen.summary()}")
    judge(seen)
    assert has_rsa(25)
    good(verify(*PAIR, *FAST))


def test_rsa_leaves_and_no_peer_notices(fast: None) -> None:
    with peers(rsa=(MX,)) as seen:
        good(site(*FAST, *KEEP))
    print(f"RSA left: {seen.summary()}")
    judge(seen)
    assert not has_rsa(25) and not has_rsa(443)
