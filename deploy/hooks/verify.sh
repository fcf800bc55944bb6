#!/bin/sh
# Checks that a request comes from who knows the secret (Standard Webhooks), with openssl.
#   verify.sh SECRET_FILE ID TIMESTAMP SIGNATURE < BODY
set -eu
secret=$(tr -d '[:space:]' <"$1")
hex() { od -An -v -tx1 | tr -d ' \n'; }
case $secret in
whsec_*) key=$(printf '%s' "${secret#whsec_}" | openssl base64 -d -A | hex) ;;
*) key=$(sed 's/^[[:space:]]*//; s/[[:space:]]*$//' "$1" | tr -d '\n' | hex) ;;
esac
age=$(($(date +%s) - $3))
if [ "$age" -gt 300 ] || [ "$age" -lt -300 ]; then
  echo "refused: the timestamp is too old, or the clocks differ" >&2
  exit 1
fi
expected=v1,$( (printf '%s.%s.' "$2" "$3" && cat) |
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
# Several may be there while a secret is changed.
for signature in $4; do
  if [ "$signature" = "$expected" ]; then
    echo "the signature is right"
    exit 0
  fi
done
echo "refused: the signature is wrong" >&2
exit 1
