# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the peer: DANE clients that connect again and again until the file STOP is there; one line of JSON for each look.

Each takes the TLSA records from the peer's own resolver, as its cache has them.  posttls-finger is for SMTP, and for https
openssl's own DANE check with those records.
"""
import json
import os
import subprocess
import sys
import time

STOP = "/run/dane-peers-stop"
domain, names, addresses = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(",")


def output(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def smtp(address):
    said = output("posttls-finger", "-c", "-a", "ipv6" if ":" in address else "ipv4", "-l", "dane", "-L", "summary", domain)[1]
    return "Verified TLS connection established" in said, said


def https(name, address):
    records = [line.split() for line in output("dig", "+short", "TLSA", f"_443._tcp.{name}")[1].splitlines()]
    data = [word for one in records for word in ("-dane_tlsa_rrdata", " ".join([*one[:3], "".join(one[3:])]))]
    place = f"[{address}]:443" if ":" in address else f"{address}:443"
    status, said = output("openssl", "s_client", "-connect", place, "-servername", name, "-dane_tlsa_domain", name, *data, "-verify_return_error", "-brief")
    return bool(records) and status == 0 and "Verification: OK" in said, said


def main():
    if os.path.exists(STOP):
        os.unlink(STOP)
    while not os.path.exists(STOP):
        for address in addresses:
            for kind, look in [("smtp", lambda to=address: smtp(to)), *((name, lambda to=address, name=name: https(name, to)) for name in names)]:
                good, said = look()
                print(json.dumps({"time": round(time.time(), 1), "kind": kind, "address": address, "good": good, "said": "" if good else said[-600:]}),
                      flush=True)


main()
