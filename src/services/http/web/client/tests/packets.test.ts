// Packets against proto/gateway.proto, as another library reads it; and any bytes.

import assert from "node:assert/strict";
import { test } from "node:test";
import protobuf from "protobufjs";
import { Frames, type Login, decode, encode } from "../packets.ts";

const root = protobuf.loadSync(`${process.cwd()}/../../../../proto/gateway.proto`);
const Request = root.lookupType("holdfast.gateway.v1.Request");
const Response = root.lookupType("holdfast.gateway.v1.Response");
const MAX = 2n ** 64n - 1n;
const LOGIN: Login = {
  kind: "login",
  userId: "alice",
  userSig: "sig",
  platform: "Web",
  instance: MAX,
  session: 2n ** 53n + 1n,
  sdkVersion: "sdk",
  appVersion: "app",
  background: true,
  takesMessages: false,
};
const NO_BYTES = new Uint8Array();

function sent(request: Parameters<typeof encode>[0]) {
  const [packet, ...others] = new Frames().take(encode(request));
  assert.equal(others.length, 0);
  return Request.toObject(Request.decode(packet!), { longs: String, enums: String });
}

const bytesOf = (response: object) => Uint8Array.from(Response.encode(Response.fromObject(response)).finish());

test("what is sent is what the protocol says", () => {
  const login = {
    protocol: 1,
    features: "1",
    userId: "alice",
    userSig: "sig",
    platform: "PLATFORM_WEB",
    instance: `${MAX}`,
    session: "9007199254740993",
    sdkVersion: "sdk",
    appVersion: "app",
    background: true,
  };
  assert.deepEqual(sent(LOGIN), { login });
  assert.equal(sent({ ...LOGIN, platform: "Android" }).login.platform, "PLATFORM_ANDROID");
  assert.deepEqual(sent({ kind: "heartbeat" }), { heartbeat: {} });
  assert.deepEqual([...encode({ kind: "heartbeat" })], [2, 0x12, 0]);
  assert.deepEqual(sent({ kind: "logout" }), { logout: {} });
  assert.deepEqual(sent({ kind: "background", background: true }), { background: { background: true } });
  assert.equal(sent({ ...LOGIN, takesMessages: true }).login.features, "7");
  const ack = (ids: bigint[], reply = NO_BYTES, refused = false) => {
    const { id, ...others } = sent({ kind: "messageAck", ids, reply, refused }).messageAck;
    return { id, reply: [...(others.reply ?? [])], refused: others.refused ?? false };
  };
  assert.deepEqual(ack([MAX, 2n ** 53n + 1n]), { id: [`${MAX}`, "9007199254740993"], reply: [], refused: false });
  assert.deepEqual(ack([1n], Uint8Array.of(0, 255)), { id: ["1"], reply: [0, 255], refused: false });
  assert.deepEqual(ack([0n], NO_BYTES, true), { id: ["0"], reply: [], refused: true });
});

test("what comes is read as the protocol says", () => {
  const verdict = { code: 302, text: "taken", retryAfterMs: 1_500, whatNext: "WHAT_NEXT_LOG_IN_AFRESH" };
  const read = { code: 302, text: "taken", retryAfterMs: 1_500, next: "logIn" };
  const answer = {
    verdict: {},
    session: `${MAX}`,
    heartbeatIntervalMs: 120_000,
    heartbeatTimeoutMs: 400_000,
    serverTimeMs: 1,
    forcedOff: [2, 7, 99],
    winner: 5,
    address: "wss://two.example/",
  };
  const check = (response: object, expected: unknown) => assert.deepEqual(decode(bytesOf(response)), expected);
  check({ loginAnswer: answer }, {
    kind: "loginAnswer",
    verdict: { code: 0, text: "", retryAfterMs: 0, next: "logIn" },
    session: MAX,
    heartbeatIntervalMs: 120_000,
    heartbeatTimeoutMs: 400_000,
    forcedOff: ["iPhone", "Web"],
    winner: "Mac",
    address: "wss://two.example/",
  });
  check({ heartbeatAnswer: {} }, { kind: "heartbeatAnswer" });
  check({ logoutAnswer: {} }, { kind: "logoutAnswer" });
  check({ forceOffline: { verdict, winner: 1 } }, { kind: "forceOffline", verdict: read, winner: "Android" });
  check({ forceOffline: { verdict, winner: 42 } }, { kind: "forceOffline", verdict: read, winner: null });
  check({ goAway: { verdict, reason: 1 } }, { kind: "goAway", verdict: read, address: "" });
  check({ goAway: { verdict, address: "wss://two.example/" } }, { kind: "goAway", verdict: read, address: "wss://two.example/" });
  check({ error: { verdict } }, { kind: "error", verdict: read });
  const message = { id: `${MAX}`, from: "shop", kind: "order", body: Uint8Array.of(0, 255), ttlMs: 60_000, wantsAck: true };
  const content = { id: MAX, from: "shop", kind: "order", body: Uint8Array.of(0, 255) };
  check({ message }, { kind: "message", content, wantsAck: true });
  check({ message: { kind: "x" } }, { kind: "message", content: { id: 0n, from: "", kind: "x", body: NO_BYTES }, wantsAck: false });
  const nexts = ["logIn", "retry", "logIn", "stop", "renewUserSig", "logIn"];
  nexts.forEach((next, whatNext) => {
    check({ error: { verdict: { code: 1, whatNext } } }, { kind: "error", verdict: { code: 1, text: "", retryAfterMs: 0, next } });
  });
});

test("packets of later protocols are none, and what cannot be decoded is told", () => {
  assert.equal(decode(new Uint8Array()), null);
  assert.equal(decode(Uint8Array.of(0x7a, 1, 0)), null);
  // A list that comes one by one.
  const one = decode(Uint8Array.of(0x0a, 10, 0x20, 1, 0x28, 1, 0x30, 1, 0x40, 2, 0x40, 7));
  assert.deepEqual(one?.kind === "loginAnswer" && one.forcedOff, ["iPhone", "Web"]);
  // A number where a message has to be; a field that is cut off; a login without a session.
  for (const bytes of [[0x08, 1], [0x0a, 2, 0x08, 0], [0x0a, 9, 0x08], [0x0a, 0]]) {
    assert.throws(() => decode(Uint8Array.from(bytes)), `${bytes}`);
  }
});

test("frames are found wherever the bytes are cut", () => {
  const bytes = Uint8Array.from([...encode(LOGIN), 0, ...encode({ kind: "heartbeat" }), ...encode({ kind: "logout" })]);
  const whole = new Frames().take(bytes).map((packet) => [...packet]);
  assert.equal(whole.length, 4);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const frames = new Frames();
    const packets = [...frames.take(bytes.subarray(0, cut)), ...frames.take(bytes.subarray(cut))];
    assert.deepEqual(packets.map((packet) => [...packet]), whole, `cut at ${cut}`);
  }
  assert.equal(new Frames().take(Uint8Array.of(0x80, 0x80, 0x04)).length, 0, "a packet of 65,536 bytes begins");
  for (const bad of [[0x81, 0x80, 0x04], [0x80, 0x80, 0x80, 0x80, 0x80], [0xff, 0xff, 0xff, 0xff, 0x7f]]) {
    assert.throws(() => new Frames().take(Uint8Array.from(bad)), `${bad}`);
  }
});

test("any bytes are packets or a fault", () => {
  for (let round = 0; round < 20_000; round++) {
    const bytes = crypto.getRandomValues(new Uint8Array(round % 40));
    if (round % 2) bytes[0] = 0x0a;
    try {
      decode(bytes);
      new Frames().take(bytes);
    } catch (error) {
      assert(error instanceof Error);
    }
  }
});
