// A terminal on npm's `ws`: what it does is told as JSON. Arguments: the address, and a login in hex.

const { on, once } = require("node:events");
const WebSocket = require("ws");

const HEARTBEAT = Buffer.from([2, 0x12, 0]);

/** The next messages of a socket, in hex. */
async function take(messages, count) {
  const taken = [];
  while (taken.length < count) taken.push((await messages.next()).value[0].toString("hex"));
  return taken;
}

async function main(address, login) {
  const told = {};
  const socket = new WebSocket(address, ["holdfast.v1"]);
  const messages = on(socket, "message");
  await once(socket, "open");
  told["subprotocol"] = socket.protocol;
  told["extensions"] = socket.extensions === "" ? 0 : 1;
  socket.send(Buffer.from(login, "hex"));
  [told["login"]] = await take(messages, 1);
  socket.send(HEARTBEAT);
  [told["heartbeat"]] = await take(messages, 1);
  // A packet in two messages, two packets in one, and one in two frames.
  socket.send(HEARTBEAT.subarray(0, 1));
  socket.send(Buffer.concat([HEARTBEAT.subarray(1), HEARTBEAT]));
  socket.send(HEARTBEAT.subarray(0, 2), { binary: true, fin: false });
  socket.send(HEARTBEAT.subarray(2), { binary: true, fin: true });
  told["more heartbeats"] = await take(messages, 3);
  socket.ping("there?");
  const [pong] = await once(socket, "pong");
  told["ping"] = pong.toString() === "there?" ? "answered" : pong.toString();
  socket.send("a text");
  [told["text"]] = await once(socket, "close");

  const other = new WebSocket(address);
  await once(other, "open");
  other.close(4000, "bye");
  [told["close"]] = await once(other, "close");

  const elsewhere = new WebSocket(address + "elsewhere");
  const [, answer] = await once(elsewhere, "unexpected-response");
  told["elsewhere"] = answer.statusCode;
  console.log(JSON.stringify(told));
  process.exit(0);
}

main(process.argv[2], process.argv[3]);
