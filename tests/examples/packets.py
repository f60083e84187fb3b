"""One connection, and its packets as bytes: frames, and as much of protobuf as the protocol of terminals needs.

A program with generated classes (protoc) needs only the frames.
"""

import io
import select
import socket
import time

PACKET_BYTES_MAX = 65536
LENGTH_BYTES_MAX = 5  # Of the varint before each packet.
LOGIN, HEARTBEAT, LOGOUT, MESSAGE_ACK = 1, 2, 3, 5  # The packets of Request.
LOGIN_ANSWER, HEARTBEAT_ANSWER, LOGOUT_ANSWER, FORCE_OFFLINE, GO_AWAY, ERROR, MESSAGE = range(1, 8)  # Those of Response.


def varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number, value):
    """A field of a message: an int as a varint, a text or a message with its length before it."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed64(number, value):
    """A field of eight bytes."""
    return varint(number << 3 | 1) + value.to_bytes(8, "little")


def read_bytes(stream, length):
    """So many bytes of a stream. EOFError if it ends before."""
    data = b""
    while len(data) < length:
        more = stream.read(length - len(data))
        if not more:
            raise EOFError("closed by the gateway")
        data += more
    return data


def read_varint(stream, bytes_max=10):
    number = 0
    for shift in range(0, 7 * bytes_max, 7):
        (byte,) = read_bytes(stream, 1)
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
    raise ValueError("this is not the protocol of terminals")


def read_message(data):
    """The fields of a message by number; unknown ones are read like the others. ValueError if it is no message."""
    fields, stream = {}, io.BytesIO(data)
    while stream.tell() < len(data):
        number, wire_type = divmod(read_varint(stream), 8)
        if wire_type == 0:
            fields[number] = read_varint(stream)
        elif wire_type == 2:
            fields[number] = read_bytes(stream, read_varint(stream))
        elif wire_type in (1, 5):
            fields[number] = read_bytes(stream, 8 if wire_type == 1 else 4)
        else:
            raise ValueError("this is not the protocol of terminals")
    return fields


def take(fields, number, kind, default=None):
    """A field of a message, or the default if it is absent. ValueError if it is not of its kind: int or bytes."""
    value = fields.get(number, default)
    if not isinstance(value, kind):
        raise ValueError("this is not the protocol of terminals")
    return value


def take_seconds(fields, number, default=None):
    """A field of milliseconds, in seconds. ValueError if it is no uint32."""
    value_ms = take(fields, number, int, default)
    if value_ms >= 1 << 32:
        raise ValueError("this is not the protocol of terminals")
    return value_ms / 1000


class Link:
    """A connection. OSError or EOFError where it is lost."""

    def __init__(self, address, timeout_s):
        """Connects, and gives up on it and on each single send or read after `timeout_s`."""
        self.socket = socket.create_connection(address, timeout_s)
        self.stream = self.socket.makefile("rb", buffering=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()

    def send(self, packet, body=b""):
        request = field(packet, body)
        self.socket.sendall(varint(len(request)) + request)

    def receive(self, until):
        """The next packet that is known: its number and its fields. (None, {}) if none has come by then."""
        while select.select([self.socket], [], [], max(until - time.monotonic(), 0))[0]:
            length = read_varint(self.stream, LENGTH_BYTES_MAX)
            if length > PACKET_BYTES_MAX:
                raise ValueError("this is not the protocol of terminals")
            response = read_message(read_bytes(self.stream, length))
            for packet in range(LOGIN_ANSWER, MESSAGE + 1):
                if packet in response:
                    return packet, read_message(take(response, packet, bytes))
        return None, {}
