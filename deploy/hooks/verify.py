#!/usr/bin/env python3
"""Checks that a request comes from who knows the secret (Standard Webhooks), with the standard library alone.

In a receiver: verify(secret, headers, body). By hand: verify.py SECRET_FILE ID TIMESTAMP SIGNATURE < BODY
"""

import base64
import hashlib
import hmac
import sys
import time


def verify(secret: str, headers, body: bytes, tolerance_s: int = 300) -> None:
    """Raises ValueError unless the signature is right and not old. `headers`: names in lower case."""
    identifier, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    # Who records a request can't use it for ever.
    if abs(time.time() - int(timestamp)) > tolerance_s:
        raise ValueError("the timestamp is too old, or the clocks differ")
    secret = secret.strip()
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = f"{identifier}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    # Several may be there while a secret is changed.
    for signature in headers["webhook-signature"].split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(), expected):
            return
    raise ValueError("the signature is wrong")


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        names = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        try:
            verify(file.read(), dict(zip(names, sys.argv[2:5], strict=True)), sys.stdin.buffer.read())
        except ValueError as error:
            sys.exit(f"refused: {error}")
    print("the signature is right")
