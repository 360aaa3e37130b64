# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the peer: DANE clients that connect again and again until the file STOP is there; one line of JSON for each look.

Each takes the TLSA records from the peer's own resolver, as its cache has them.  posttls-finger is for SMTP, and for https
openssl's own DANE check with those records, for names given for it also without ECDSA.  A browser, which trusts the CA, gets a page all the time.
Others have a resolver each that keeps records for longer, and take their records from it by openssl for SMTP too; the first name is the mail server's.
"""
import contextlib
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time

STOP, CA = "/run/dane-peers-stop", "/etc/ssl/lab-acme-root.pem"
# What each other resolver keeps, and how many seconds its clients rest: an unbound that serves expired data asks for new at each look.
OTHERS = {"floor": ({"cache-min-ttl": 20}, 1),
          "stale": ({"serve-expired": "yes", "serve-expired-ttl": 4, "serve-expired-client-timeout": 0}, 12),
          "endless": ({"serve-expired": "yes", "serve-expired-ttl": 0, "serve-expired-client-timeout": 0}, 60)}
domain, names, addresses, rsa_names = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(","), sys.argv[4:]


def output(*command, seconds=5):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:  # else one that hangs would hide what the others see
        return 124, f"{command[0]} timed out"
    return done.returncode, done.stdout


def smtp(address):
    said = output("posttls-finger", "-c", "-a", "ipv6" if ":" in address else "ipv4", "-l", "dane", "-L", "summary", domain)[1]
    return "Verified TLS connection established" in said, said


def openssl(name, address, port, *options, resolver_port=53):
    # three questions, as clients do: a resolver that meets a dead name server asks it again and again for more than 5 seconds
    answer = output("dig", "+noall", "+comments", "+answer", "-p", str(resolver_port), "@127.0.0.1", "TLSA", f"_{port}._tcp.{name}", seconds=16)[1]
    records = [line.split()[4:] for line in answer.splitlines() if line.split()[3:4] == ["TLSA"]]
    if not records:
        return False, answer
    data = [word for one in records for word in ("-dane_tlsa_rrdata", " ".join([*one[:3], "".join(one[3:])]))]
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    status, said = output("openssl", "s_client", "-connect", place, "-servername", name, "-dane_tlsa_domain", name, *data, "-verify_return_error", "-brief",
                          *options)
    return status == 0 and "Verification: OK" in said, said


def https(name, address):
    return openssl(name, address, 443)


def rsa(name, port, address):
    good, said = openssl(name, address, port, "-tls1_2", "-cipher", "aRSA", *(("-starttls", "smtp") if port == 25 else ()))
    return good or "handshake failure" in said, "no RSA" if "handshake failure" in said else said  # that is what says where there is none


def browser(name, address):
    def connect():
        plain = http.client.socket.create_connection((address, 443), 10)
        connection = http.client.HTTPConnection(name)
        connection.auto_open = 0  # it would go on at port 80, without TLS, where the server has closed
        connection.sock = ssl.create_default_context(cafile=CA).wrap_socket(plain, server_hostname=name)
        return connection

    def page(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        return answer.status

    try:
        connection = connect()
        for number in range(3):  # in one connection
            try:
                status = page(connection)
            except (http.client.NotConnected, http.client.RemoteDisconnected, ConnectionResetError):
                if number == 0:
                    raise
                # A server may close a connection that rests at any time; then browsers ask again (RFC 9112 section 9.3.1).
                connection = connect()
                status = page(connection)
            if status != 200:
                return False, f"status {status}"
            time.sleep(0.1)
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        return False, repr(error)
    return True, ""


def unbound(settings, port, directory):
    """A resolver as the peer's own, with other settings, at another port."""
    with open("/etc/unbound/unbound.conf") as stream:
        text = re.sub(r"interface: ::1\n|remote-control:(\n +.*)+", "", stream.read()).replace("interface: 127.0.0.1", f"interface: 127.0.0.1@{port}")
    more = "".join(f"    {name}: {value}\n" for name, value in {**settings, "pidfile": '""', "do-daemonize": "no", "use-syslog": "no"}.items())
    path = os.path.join(directory, f"{port}.conf")
    with open(path, "w") as stream:
        stream.write(text.replace("server:\n", "server:\n" + more, 1) + "\nremote-control:\n    control-enable: no\n")
    process = subprocess.Popen(["unbound", "-c", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _look in range(100):
        status, said = output("dig", "+short", "+tries=1", "+time=1", "-p", str(port), "@127.0.0.1", "SOA", domain)
        if status == 0 and said.strip() and not said.startswith(";"):  # dig says its errors there too
            return process
        time.sleep(0.1)
    process.kill()
    raise SystemExit(f"unbound with {settings} does not answer")


def look_on(kinds, rest=0):
    while not os.path.exists(STOP):
        for address in addresses:
            for kind, look in kinds:
                good, said = look(address)
                said = "" if good and said != "no RSA" else said[-600:]
                print(json.dumps({"time": round(time.time(), 1), "kind": kind, "address": address, "good": good, "said": said}) + "\n",
                      end="", flush=True)
        end = time.time() + rest
        while time.time() < end and not os.path.exists(STOP):
            time.sleep(0.2)


def main():
    if os.path.exists(STOP):
        os.unlink(STOP)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        threads = [threading.Thread(target=look_on, args=([(f"browser {name}", lambda to, name=name: browser(name, to)) for name in names],))]
        for port, (what, (settings, rest)) in enumerate(OTHERS.items(), 5301):
            stack.callback(unbound(settings, port, directory).terminate)
            kinds = [(f"{what} {name}", lambda to, name=name, port=port: openssl(name, to, 443, resolver_port=port)) for name in names]
            kinds.append((f"{what} smtp", lambda to, port=port: openssl(names[0], to, 25, "-starttls", "smtp", resolver_port=port)))
            threads.append(threading.Thread(target=look_on, args=(kinds, rest)))
        for thread in threads:
            thread.start()
        look_on([("smtp", smtp), *((name, lambda to, name=name: https(name, to)) for name in names),
                 *((f"RSA {name}:{port}", lambda to, name=name, port=port: rsa(name, port, to)) for name in rsa_names for port in (25, 443))])
        for thread in threads:
            thread.join()


main()
