#!/usr/bin/env python3
"""A receiver of callbacks: checks the signature of each, takes each change once, and prints it.

Give the gateway this receiver's URL as callback.url, and the same file as callback.token_file. What was taken is kept in a
database, so that a restart takes nothing twice. To see it: sqlite3 changes.db 'SELECT * FROM users'

A signature proves only that the sender knew the token at that time; it does not cover the body or the headers. Between
hosts, use HTTPS or a private network.
"""

import argparse
import hashlib
import hmac
import json
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

AGE_S_MAX = 60  # How far RequestTime may be from this host's clock. A copied URL is good for no longer.
BODY_BYTES_MAX = 64 * 1024  # A callback has a few hundred bytes.
WAIT_S_MAX = 30  # How long a connection may say nothing.
NUMBER_MAX = (1 << 63) - 1  # The highest that the database can keep.


class Changes:
    """The newest change of each user. One transaction takes a change and notes that it was taken."""

    def __init__(self, path):
        self.lock = threading.Lock()  # Callbacks of different users come at the same time.
        self.database = sqlite3.connect(path, check_same_thread=False)
        with self.database:
            self.database.execute("CREATE TABLE IF NOT EXISTS users (user TEXT PRIMARY KEY, change INTEGER, event TEXT)")

    def take(self, user, change, previous, event):
        """Takes a change that was not taken before. Gives what is to be said of it."""
        with self.lock, self.database:
            row = self.database.execute("SELECT change FROM users WHERE user = ?", (user,)).fetchone()
            highest = row[0] if row else 0
            if change <= highest:
                return f"dropped: change {highest} was taken already"
            self.database.execute("REPLACE INTO users VALUES (?, ?, ?)", (user, change, event))
        # What is missing was given up by the gateway, or was told to another database.
        return f"taken; missing: changes after {highest} up to {previous}" if previous > highest else "taken"


class Callback(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # The gateway uses its connections again.
    timeout = WAIT_S_MAX

    def do_POST(self):
        try:
            length = self.number("Content-Length")
        except ValueError as error:
            self.close_connection = True
            return self.answer(400, str(error))
        if length > BODY_BYTES_MAX:
            self.close_connection = True
            return self.answer(413, "the body is too long")
        body = self.rfile.read(length)
        fault = signature_fault(parse_qs(urlsplit(self.path).query), self.server.token, time.time())
        if fault:
            print(f"refused: {fault}", flush=True)
            return self.answer(403, fault)
        try:
            info = json.loads(body)["Info"]
            user, event = info["To_Account"], f"{info['Action']}/{info['Reason']}"
            change, previous = self.number("Holdfast-Change"), self.number("Holdfast-Previous")
        except (KeyError, TypeError, ValueError) as error:
            return self.answer(400, f"this is no callback: {error!r}")
        try:
            outcome = self.server.changes.take(user, change, previous, event)
        except sqlite3.Error as error:
            return self.answer(503, f"it could not be recorded: {error}")  # It will come again.
        print(f"{user} {change} {event} {outcome}", flush=True)
        self.answer(200, "")

    def number(self, name):
        """The number in a header. ValueError if it is absent, no number, or too high."""
        text = self.headers.get(name, "")
        if not (text.isascii() and text.isdigit() and int(text) <= NUMBER_MAX):
            raise ValueError(f"{name} is not a number from 0 to {NUMBER_MAX}")
        return int(text)

    def answer(self, status, fault):
        verdict = {"ActionStatus": "FAIL" if fault else "OK", "ErrorCode": 1 if fault else 0, "ErrorInfo": fault}
        body = json.dumps(verdict).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """What matters is printed above."""


def signature_fault(query, token, now_s):
    """Why the URL was not signed just now by who knows the token; an empty text if it was."""
    sign, request_time = query.get("Sign", [""])[0], query.get("RequestTime", [""])[0]
    expected = hashlib.sha256((token + request_time).encode()).hexdigest()
    if not hmac.compare_digest(sign.encode(), expected.encode()):
        return "the signature is wrong"
    if abs(now_s - int(request_time)) > AGE_S_MAX:
        return "the signature is too old, or a clock is wrong"
    return ""


def token(path):
    """The token in a file, as the gateway reads it: one line."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read().rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"it cannot be read: {error}") from None
    if not text:
        raise argparse.ArgumentTypeError(f"{path} is empty")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--token-file", type=token, required=True, dest="token", help="the gateway's callback.token_file")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="0: any free one")
    parser.add_argument("--database", default="changes.db", help="where it keeps what it has taken")
    options = parser.parse_args()
    server = ThreadingHTTPServer((options.host, options.port), Callback)
    server.token, server.changes = options.token, Changes(options.database)
    print(f"listening at http://{options.host}:{server.server_port}/callback", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit()


if __name__ == "__main__":
    main()
