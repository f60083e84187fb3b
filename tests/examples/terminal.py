#!/usr/bin/env python3
"""A terminal: logs in, sends heartbeats, shows messages, and comes back by itself after a lost connection. Ctrl-C logs out."""

import argparse
import base64
import hmac
import json
import math
import random
import sys
import time
import zlib
from collections import deque

from packets import ERROR, FORCE_OFFLINE, GO_AWAY, HEARTBEAT, HEARTBEAT_ANSWER, LOGIN, LOGIN_ANSWER, LOGOUT, LOGOUT_ANSWER
from packets import MESSAGE, MESSAGE_ACK, Link, field, fixed64, read_message, take, take_seconds

ANSWER_S = 10  # How long a connection and each answer may take.
BACKOFF_S_MIN, BACKOFF_S_MAX = 0.5, 30  # The first wait after a lost connection, and the longest.
DEVELOPMENT_SECRET = "holdfast-development-secret-for-loopback-only-never-in-production"
PLATFORMS = {"Android": 1, "iPhone": 2, "iPad": 3, "Windows": 4, "Mac": 5, "Linux": 6, "Web": 7}
CODE, TEXT, RETRY_AFTER, WHAT_NEXT = range(1, 5)  # The fields of a verdict.
VERDICT, SESSION, INTERVAL, ADDRESS = 1, 4, 5, 12  # Those of a LoginAnswer; the verdict of other packets has the same number.
GO_AWAY_ADDRESS = 3  # Of a GoAway.
RETRY, RENEW_USERSIG = 1, 4  # Of WhatNext: those after which a terminal comes back by itself.
ELSEWHERE = 207  # The code of a gateway that knows another one, which has the user.
ID, FROM, KIND, BODY, WANTS_ACK = 1, 2, 3, 4, 6  # The fields of a Message. The ids of a MessageAck are its field 1.
FOLLOWS_REDIRECTS = 1  # Of the features of a Login: it goes where a LoginAnswer sends it.
TAKES_MESSAGES, ACKNOWLEDGES = 2, 4  # Of the same.
SEEN_MAX = 64  # Messages that it knows again: as many may wait for one device.
CHARACTERS_MAX = 500  # Of a message, as far as it is shown.
PACKET = "packet"  # Of a verdict as it is kept here: which packet it came in.
REDIRECTS_MAX = 3  # How often it goes on without a login in between.


def make_usersig(user, app, secret):
    """What the app's backend does. A real terminal gets its UserSig from there, and never has the secret."""
    claims = {"TLS.identifier": user, "TLS.sdkappid": app, "TLS.time": int(time.time()), "TLS.expire": 86400}
    text = "".join(f"{name}:{value}\n" for name, value in claims.items())
    signature = base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha256")).decode()
    packed = zlib.compress(json.dumps({"TLS.ver": "2.0", **claims, "TLS.sig": signature}).encode())
    return base64.b64encode(packed).decode().translate(str.maketrans("+/=", "*-_"))


class Terminal:
    def __init__(self, options):
        self.options, self.session, self.backoff_s = options, options.session, BACKOFF_S_MIN
        self.usersig = options.usersig or self.new_usersig()
        self.was_in = False  # A gateway has answered a login.
        self.seen = deque(maxlen=SEEN_MAX)  # The ids of messages.
        self.home, self.redirects = None, 0  # Where the user's gateway is, if it is one of several.

    def new_usersig(self):
        return make_usersig(self.options.user, self.options.app, self.options.secret)

    def run(self):
        """Connects again and again, until Ctrl-C or the gateway ends it."""
        while True:
            verdict = self.stay()
            print(f"{verdict[TEXT]} (code {verdict[CODE]})" if verdict[CODE] else verdict[TEXT], flush=True)
            if verdict[CODE] == ELSEWHERE and self.goes_on(verdict):
                continue
            if verdict[WHAT_NEXT] == RENEW_USERSIG:
                if self.options.usersig:
                    sys.exit(f"a new --usersig is needed, with --session {self.session}")
                self.usersig = self.new_usersig()
                print("with a new UserSig: ", end="")
            elif verdict[WHAT_NEXT] != RETRY:
                sys.exit("not coming back by itself; without --session the next run logs in afresh")
            wait_s = max(verdict[RETRY_AFTER], self.backoff_s * random.uniform(0.5, 1.5))
            self.backoff_s = min(2 * self.backoff_s, BACKOFF_S_MAX)
            print(f"coming back in {wait_s:.1f} s", flush=True)
            time.sleep(wait_s)

    def goes_on(self, verdict):
        """Another gateway has the user. Remembers it, and says whether to go there at once."""
        self.home = home_of(verdict[ADDRESS])
        if verdict[PACKET] == LOGIN_ANSWER and self.home and self.redirects < REDIRECTS_MAX:
            self.redirects += 1
            print(f"going to {verdict[ADDRESS]}", flush=True)
            time.sleep(verdict[RETRY_AFTER])
            return True
        if verdict[PACKET] == LOGIN_ANSWER:
            self.home = None
        self.redirects = 0
        return False

    def stay(self):
        """Holds one connection to its end. Gives the verdict that ended it; a lost connection counts as one to retry."""
        self.is_in = False  # On this connection.
        try:
            with Link(self.home or self.options.address, ANSWER_S) as link:
                try:
                    return self.beat(link)
                except KeyboardInterrupt:
                    log_out(link)
        except (OSError, EOFError, ValueError) as error:
            if self.home and not self.is_in:
                self.home, self.redirects = None, 0  # It is not there: begin at the first address again.
            elif isinstance(error, ValueError) and not self.was_in:
                raise  # The address may be that of something else. An app, which has no other, would come back.
            return {CODE: 0, TEXT: f"no connection: {error}", RETRY_AFTER: 0, WHAT_NEXT: RETRY}

    def beat(self, link):
        """Logs in, and sends heartbeats until the gateway ends the connection. Gives its verdict."""
        link.send(LOGIN, self.login())
        packet, fields = answer(link)
        beat_at, lost_at = None, math.inf
        while True:
            if packet in (LOGIN_ANSWER, FORCE_OFFLINE, GO_AWAY, ERROR):
                verdict = read_verdict(packet, fields)
                if verdict[CODE]:
                    return verdict
            if packet == LOGIN_ANSWER:
                self.is_in, self.redirects = True, 0
                self.session, self.was_in, interval_s = take(fields, SESSION, int), True, take_seconds(fields, INTERVAL)
                beat_at = time.monotonic() + interval_s
                print(f"logged in: session {self.session}, a heartbeat every {interval_s:g} s", flush=True)
            if beat_at is None:
                raise ValueError("this is not the protocol of terminals")
            if packet == HEARTBEAT_ANSWER:
                self.backoff_s = BACKOFF_S_MIN
                print("heartbeat answered", flush=True)
            if packet == MESSAGE and self.take_message(link, fields):
                beat_at = time.monotonic() + interval_s
            packet, fields = link.receive(min(beat_at, lost_at))
            now = time.monotonic()
            if packet:
                lost_at = math.inf
            elif now >= lost_at:
                raise TimeoutError("the gateway does not answer")
            if now >= beat_at:  # Messages may come one close behind the other.
                link.send(HEARTBEAT)
                beat_at, lost_at = now + interval_s, min(lost_at, now + ANSWER_S)

    def take_message(self, link, fields):
        """Shows a message, and acknowledges it if the backend wants that. Says whether it did."""
        message_id = take(fields, ID, bytes, bytes(8))
        print(f"{shown(fields)}{' (again)' if message_id in self.seen else ''}", flush=True)
        self.seen.append(message_id)
        if not take(fields, WANTS_ACK, int, 0):
            return False
        link.send(MESSAGE_ACK, field(1, message_id))
        return True

    def login(self):
        platform, instance = PLATFORMS[self.options.platform], fixed64(6, self.options.instance)
        who = field(3, self.options.user) + field(4, self.usersig) + field(5, platform) + instance
        features = FOLLOWS_REDIRECTS | TAKES_MESSAGES | ACKNOWLEDGES
        return field(1, 1) + field(2, features) + who + field(7, self.session) + field(8, "terminal.py/1")


def shown(fields):
    """A message as a line, without what could control a screen."""
    sender, kind, body = (take(fields, number, bytes, b"") for number in (FROM, KIND, BODY))
    try:
        text = body.decode()[:CHARACTERS_MAX]
    except UnicodeDecodeError:
        text = f"{len(body)} bytes"
    line = f"message{' from ' if sender else ''}{sender.decode(errors='replace')}, {kind.decode(errors='replace')}: {text}"
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


def home_of(text):
    """The address in a packet as host and port; None if it is none."""
    try:
        host, port = address(text)
        return (host, port) if host and 0 < port < 1 << 16 else None
    except ValueError:
        return None


def read_verdict(packet, fields):
    """The verdict of a packet, all its fields, with the wait in seconds; and where to go, if it says so."""
    verdict = read_message(take(fields, VERDICT, bytes, b""))
    code, what_next = take(verdict, CODE, int, 0), take(verdict, WHAT_NEXT, int, 0)
    text = take(verdict, TEXT, bytes, b"").decode(errors="replace")
    told = {CODE: code, TEXT: text, RETRY_AFTER: take_seconds(verdict, RETRY_AFTER, 0), WHAT_NEXT: what_next}
    where = ADDRESS if packet == LOGIN_ANSWER else GO_AWAY_ADDRESS
    going = take(fields, where, bytes, b"").decode(errors="replace") if code == ELSEWHERE else ""
    return {**told, PACKET: packet, ADDRESS: going}


def answer(link):
    """The next packet, which has to come soon."""
    packet, fields = link.receive(time.monotonic() + ANSWER_S)
    if packet is None:
        raise TimeoutError("the gateway does not answer")
    return packet, fields


def log_out(link):
    """Ends the session, and the program."""
    try:
        link.send(LOGOUT)
        while answer(link)[0] != LOGOUT_ANSWER:
            pass
    except (OSError, EOFError, ValueError) as error:
        sys.exit(f"nobody has answered the logout: {error}")
    print("logged out", flush=True)
    sys.exit()


def number(text):
    if not 0 <= int(text) < 1 << 64:
        raise ValueError
    return int(text)


def address(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--user", required=True, help="the UserID")
    parser.add_argument("--platform", choices=PLATFORMS, default="iPhone")
    parser.add_argument("--instance", type=number, default=random.getrandbits(63) | 1, help="this installation; random if not given")
    parser.add_argument("--session", type=number, default=0, help="the session to resume; 0, the default: a fresh login")
    parser.add_argument("--address", type=address, default="127.0.0.1:9001", help="where the gateway listens: HOST:PORT")
    parser.add_argument("--usersig", help="from the app's backend; if not given, it is made with --secret")
    parser.add_argument("--app", type=int, default=1400000001, help="the SDKAppID")
    parser.add_argument("--secret", default=DEVELOPMENT_SECRET, help="the app's secret key; if not given, that for development")
    options = parser.parse_args()
    print(f"{options.user} on {options.platform}, instance {options.instance}", flush=True)
    try:
        Terminal(options).run()
    except KeyboardInterrupt:
        sys.exit("not connected: the session is not logged out")
    except ValueError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
