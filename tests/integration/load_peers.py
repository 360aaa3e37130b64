# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the peer: as many https and SMTP transactions at once as threads, until the file STOP is there; at the end one line of JSON.

load_peers.py NAME ADDRESSES DOMAIN STOP.  A transaction is a page over a new connection, or a mail that is accepted over STARTTLS.
"""
import collections
import http.client
import json
import os
import smtplib
import socket
import ssl
import sys
import threading
import time

name, addresses, domain, stop = sys.argv[1], sys.argv[2].split(","), sys.argv[3], sys.argv[4]
THREADS = {"https": 6, "smtp": 4}
context = ssl.create_default_context(cafile="/etc/ssl/lab-acme-root.pem")
done, failed = collections.Counter(), []


def https(address):
    connection = http.client.HTTPConnection(name)
    connection.sock = context.wrap_socket(socket.create_connection((address, 443), 10), server_hostname=name)
    connection.request("GET", "/", headers={"Connection": "close"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status == 200


def smtp(address):
    with smtplib.SMTP(timeout=20) as mail:
        mail.connect(address)
        mail._host = name  # whose certificate it is to be
        mail.ehlo("peer.example")
        mail.starttls(context=context)
        mail.ehlo("peer.example")
        return not mail.sendmail("peer@peer.example", [f"kato@{domain}"], "Subject: load\r\n\r\nhello\r\n")


def work(kind, one, first):
    turn = first
    while not os.path.exists(stop):
        try:
            assert one(addresses[turn % len(addresses)])
            done[kind] += 1
        except (OSError, AssertionError, http.client.HTTPException, smtplib.SMTPException) as error:
            failed.append([round(time.time(), 1), kind, repr(error)[:200]])
        turn += 1


threads = [threading.Thread(target=work, args=(kind, {"https": https, "smtp": smtp}[kind], number))
           for kind, count in THREADS.items() for number in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"done": done, "failed": failed}))
