#!/bin/sh
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs on the vps: what the script of the talk does, by its means.  Usage: sh -s begin|order|switch|end ZONE NAME TTL
#   begin   a certificate of dehydrated's own, live, and its record (3 0 1) published
#   order   dehydrated has a new one issued, with a new key
#   switch  the old and the new record are published, the zone is signed, the services are restarted
#   end     what was live before is live again
set -eu
step=$1 zone=$2 name=$3 ttl=$4
home=/var/lib/talk live=/var/lib/selfhost-dane/live/$name signed=/var/lib/selfhost-dane/signed/$zone.signed

order() {
    dehydrated --config $home/config --cron --force --domain "$name"
}

record() {
    printf '3 0 1 %s' "$(openssl x509 -in "$1" -outform der | sha256sum | cut -c-64)"
}

# publish RECORD...: instead of all records of both ports
publish() {
    cd "$(mktemp -d)"
    key=$(ls /var/lib/selfhost-dane/zones/"$zone"/key/*.private)
    ldns-read-zone -s "$signed" | grep -v -E "^_(25|443)\._tcp\.$name\..*TLSA" >zone
    for port in 25 443; do
        for one in "$@"; do echo "_$port._tcp.$name. $ttl IN TLSA $one" >>zone; done
    done
    serial=$(awk '$4 == "SOA" {print $7; exit}' zone)
    sed -i "s/ $serial / $((serial + 1)) /" zone
    ldns-signzone -f signed zone "${key%.private}"
    cat signed >"$signed"
    nsd-control reload "$zone"
}

put_live() {
    rm -rf "${home:?}/$1"
    cp -rL $home/certs/"$name" $home/"$1"
    ln -sfn $home/"$1" "$live"
    systemctl restart apache2 sendmail
}

case $step in
begin)
    rm -rf $home
    mkdir $home
    chmod 711 $home
    readlink "$live" >$home/before
    sed -e '/^HOOK/d; /^PRIVATE_KEY/d' -e "s|^BASEDIR=.*|BASEDIR=$home|; s|^LOCKFILE=.*|LOCKFILE=$home/lock|" /etc/dehydrated/config >$home/config
    printf 'PRIVATE_KEY_RENEW=yes\nKEY_ALGO=prime256v1\n' >>$home/config
    dehydrated --config $home/config --register --accept-terms
    order
    publish "$(record $home/certs/"$name"/cert.pem)"
    put_live one ;;
order)
    order ;;
switch)
    publish "$(record $home/one/cert.pem)" "$(record $home/certs/"$name"/cert.pem)"
    put_live two ;;
end)
    ln -sfn "$(cat $home/before)" "$live"
    rm -rf $home
    systemctl restart apache2 sendmail ;;
esac
