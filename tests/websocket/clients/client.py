"""A terminal on Python's `websockets`: what it does is told as JSON. Arguments: the address, and a login in hex."""

import asyncio
import json
import sys

import websockets

HEARTBEAT = bytes([2, 0x12, 0])


async def main(address, login):
    told = {}
    async with websockets.connect(address, subprotocols=["holdfast.v1"]) as socket:
        told["subprotocol"] = socket.subprotocol
        told["extensions"] = len(socket.protocol.extensions)
        await socket.send(login)
        told["login"] = (await socket.recv()).hex()
        await socket.send(HEARTBEAT)
        told["heartbeat"] = (await socket.recv()).hex()
        # A packet in two messages, two packets in one, and one in two frames.
        await socket.send(HEARTBEAT[:1])
        await socket.send(HEARTBEAT[1:] + HEARTBEAT)
        await socket.send([HEARTBEAT[:2], HEARTBEAT[2:]])
        told["more heartbeats"] = [(await socket.recv()).hex() for _ in range(3)]
        await (await socket.ping(b"there?"))
        told["ping"] = "answered"
        await socket.send("a text")
        try:
            await socket.recv()
        except websockets.ConnectionClosed:
            told["text"] = socket.close_code
    async with websockets.connect(address) as socket:
        await socket.close(4000, "bye")
        told["close"] = socket.close_code
    try:
        await websockets.connect(address + "elsewhere")
    except websockets.InvalidStatus as refusal:
        told["elsewhere"] = refusal.response.status_code
    print(json.dumps(told))


asyncio.run(main(sys.argv[1], bytes.fromhex(sys.argv[2])))
