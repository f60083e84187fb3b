// Terminals in Node, by WebSocket, at a gateway that does as told.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import type { Options } from "../../client.d.ts";
import { connect } from "../client.ts";
import { Gateway, event, withGateway } from "./gateway.ts";

test("it logs in, beats and logs out", () =>
  withGateway(async (gateway, open) => {
    const terminal = open({ instance: "18446744073709551615", appVersion: "test" });
    assert.equal(terminal.status, "connecting");
    const connection = await gateway.connection();
    const login = await connection.accept(5, 30);
    const { protocol, userId, userSig, platform, instance, appVersion } = login;
    assert.deepEqual(
      { protocol, userId, userSig, platform, instance, appVersion },
      { protocol: 1, userId: "alice", userSig: "sig", platform: "PLATFORM_WEB", instance: `${2n ** 64n - 1n}`, appVersion: "test" },
    );
    assert.equal(login.session ?? "0", "0");
    assert.match(login.sdkVersion, /^holdfast-web\/\d/);
    const online = await event(terminal, "online");
    assert.deepEqual(online, { session: 5n, instance: 2n ** 64n - 1n, resumed: false, forcedOff: [] });
    assert.equal(terminal.status, "online");
    for (let beats = 0; beats < 3; beats++) {
      assert.deepEqual(await connection.request(), { heartbeat: {} });
      connection.send({ heartbeatAnswer: {} });
    }
    terminal.setBackground(true);
    let request = await connection.request();
    while (request.heartbeat) request = await connection.request();
    assert.deepEqual(request, { background: { background: true } });

    const [stopped, answered] = [event(terminal, "stopped"), terminal.logout()];
    do request = await connection.request();
    while (request.heartbeat);
    assert.deepEqual(request, { logout: {} });
    connection.send({ logoutAnswer: {} });
    assert.equal(await answered, true);
    assert.deepEqual(await stopped, { code: 0, text: "logged out", next: "logIn" });
    assert.equal(terminal.session, 0n);
    await connection.closed();
  }));

test("a lost connection is resumed", () =>
  withGateway(async (gateway, open) => {
    const terminal = open();
    const first = await gateway.connection();
    await first.accept(5);
    await event(terminal, "online");
    first.socket.terminate();
    const reconnecting = await event(terminal, "reconnecting");
    assert.equal(reconnecting.attempt, 1);
    assert(reconnecting.inMs >= 250 && reconnecting.inMs <= 750);
    const online = event(terminal, "online");
    const login = await (await gateway.connection()).accept(5);
    assert.equal(login.session, "5");
    assert.equal((await online).resumed, true);
  }));

test("where nobody listens it tries again", () =>
  withGateway(async (gateway, open) => {
    gateway.stop();
    const terminal = open();
    const attempts = [await event(terminal, "reconnecting"), await event(terminal, "reconnecting")];
    assert.deepEqual(attempts.map(({ attempt }) => attempt), [2, 3]);
    assert.match(attempts[0]!.text, /close code 1006/);
  }));

test("it goes to its user's node, stays there, and comes back where that is gone", () =>
  withGateway(async (gateway, open) => {
    const node = await new Gateway().listening();
    const terminal = open();
    const told: string[] = [];
    terminal.on("reconnecting", ({ text }) => told.push(text));
    const first = await gateway.connection();
    assert.equal((await first.sendOn(node.url)).features, "1");
    await first.closed();
    const home = await node.connection();
    await home.accept(5);
    await event(terminal, "online");
    assert.deepEqual(told, [], "nobody was told to wait");
    home.socket.terminate();
    const again = await node.connection();
    assert.equal((await again.accept(5)).session, "5", "it is remembered");
    await event(terminal, "online");
    node.stop();
    const last = await gateway.connection();
    assert.equal((await last.accept(5)).session, "5");
  }));

test("it is not sent in circles", () =>
  withGateway(async (gateway, open) => {
    const terminal = open();
    const reconnecting = event(terminal, "reconnecting");
    for (let redirects = 0; redirects < 4; redirects++) await (await gateway.connection()).sendOn(gateway.url);
    assert.equal((await reconnecting).code, 207);
    await (await gateway.connection()).accept(5);
  }));

test("an address that cannot be one is none", () =>
  withGateway(async (gateway, open) => {
    let terminal = open();
    for (const address of ["", "nowhere", "wss://127.0.0.1:1/", "http://127.0.0.1:1/", `${gateway.url}#x`, `ws://127.0.0.1/${"x".repeat(512)}`]) {
      const reconnecting = event(terminal, "reconnecting");
      await (await gateway.connection()).sendOn(address);
      assert.equal((await reconnecting).code, 207, address);
      terminal.close();
      terminal = open();
    }
  }));

test("forced offline, it stays so", () =>
  withGateway(async (gateway, open) => {
    const terminal = open();
    const connection = await gateway.connection();
    await connection.accept(5);
    const told: string[] = [];
    terminal.on("forcedOffline", ({ code, winner }) => told.push(`forcedOffline ${code} ${winner}`));
    const stopped = event(terminal, "stopped");
    const verdict = { code: "CODE_SESSION_FORCED_OFF", text: "taken", whatNext: "WHAT_NEXT_LOG_IN_AFRESH" };
    connection.send({ forceOffline: { verdict, winner: "PLATFORM_IPHONE" } });
    assert.deepEqual(await stopped, { code: 302, text: "taken", next: "logIn" });
    assert.deepEqual(told, ["forcedOffline 302 iPhone"]);
    assert.deepEqual([terminal.status, terminal.session], ["stopped", 0n]);
    assert.equal(await terminal.logout(), true, "nothing is left to log out of");
    await connection.closed();
  }));

test("a UserSig is asked for, first and whenever it is no good", () =>
  withGateway(async (gateway, open) => {
    const sigs = [Promise.reject(new Error("the backend is away")), "first", "second"];
    const terminal = open({ userSig: undefined, getUserSig: async () => (await sigs.shift()) ?? null, session: 9 });
    assert.match((await event(terminal, "reconnecting")).text, /the backend is away/);
    const refused = await (await gateway.connection()).refuse("USERSIG_EXPIRED", "RENEW_USERSIG");
    assert.deepEqual([refused.userSig, refused.session], ["first", "9"]);
    assert.equal((await event(terminal, "reconnecting")).code, 70001);
    const stopped = event(terminal, "stopped");
    const again = await (await gateway.connection()).refuse("USERSIG_EXPIRED", "RENEW_USERSIG");
    assert.deepEqual([again.userSig, again.session], ["second", "9"]);
    assert.deepEqual(await stopped, { code: 0, text: "the app's backend gives no UserSig", next: "logIn" });
  }));

test("who gave its UserSig by hand renews it by hand", () =>
  withGateway(async (gateway, open) => {
    const terminal = open({ session: 9n });
    await (await gateway.connection()).refuse("USERSIG_EXPIRED", "RENEW_USERSIG");
    assert.deepEqual(await event(terminal, "stopped"), { code: 70001, text: "USERSIG_EXPIRED", next: "renewUserSig" });
    assert.equal(terminal.session, 9n);
  }));

test("packets come cut and joined as they like", () =>
  withGateway(async (gateway, open) => {
    const terminal = open();
    const connection = await gateway.connection();
    await connection.request();
    const answer = connection.bytes({ loginAnswer: { verdict: {}, session: 5, heartbeatIntervalMs: 1_000, heartbeatTimeoutMs: 3_000 } });
    const stop = { code: "CODE_MALFORMED", text: "stop", whatNext: "WHAT_NEXT_STOP" };
    const bytes = Buffer.concat([answer, connection.bytes({ heartbeatAnswer: {} }), connection.bytes({ error: { verdict: stop } })]);
    const stopped = event(terminal, "stopped");
    for (let from = 0; from < bytes.length; from += 5) connection.socket.send(bytes.subarray(from, from + 5));
    assert.deepEqual(await stopped, { code: 102, text: "stop", next: "nothing" });
    assert.equal(terminal.session, 5n);
  }));

test("what is no packet is a lost connection", () =>
  withGateway(async (gateway, open) => {
    const terminal = open();
    const faults: [Buffer | string, RegExp][] = [
      [Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]), /no packets of a gateway/],
      [Buffer.from([2, 0x0a, 0]), /without its session/],
      ["text", /a text is no packet/],
    ];
    for (const [bad, text] of faults) {
      const connection = await gateway.connection();
      const reconnecting = event(terminal, "reconnecting");
      connection.socket.send(bad);
      assert.match((await reconnecting).text, text);
      await connection.closed();
    }
  }));

test("a listener may do as it likes", () =>
  withGateway(async (gateway, open) => {
    const terminal = open();
    const fault = new Promise<unknown>((resolve) => (globalThis.reportError = resolve));
    terminal.on("online", () => {
      throw new Error("the app's own");
    });
    terminal.on("online", () => terminal.close());
    const stopped = event(terminal, "stopped");
    const connection = await gateway.connection();
    await connection.accept(5);
    assert.deepEqual(await stopped, { code: 0, text: "closed by the app", next: "connect" });
    assert.match(`${await fault}`, /the app's own/);
    assert.equal(terminal.session, 5n);
    await connection.closed();
  }));

test("what cannot be connected with is named", () => {
  const check = (options: Partial<Options>, name: RegExp) =>
    assert.throws(() => connect({ url: "ws://127.0.0.1:1/", userId: "alice", userSig: "sig", WebSocket, ...options }), name);
  check({ url: "http://127.0.0.1:1/" }, /TypeError: connect: url/);
  check({ url: "nowhere" }, /TypeError/);
  check({ userId: "" }, /userId/);
  check({ userId: "x".repeat(33) }, /userId/);
  check({ userId: "ä" }, /userId/);
  check({ userSig: undefined }, /userSig/);
  check({ userSig: "" }, /userSig/);
  check({ platform: "Amiga" as "Web" }, /platform/);
  check({ instance: 0 }, /instance/);
  check({ instance: 2n ** 64n }, /instance/);
  check({ session: -1 }, /session/);
  for (const session of ["five", "-5", 1.5, 2 ** 53]) check({ session }, /TypeError: connect: session is a whole number/);
  check({ appVersion: "x".repeat(33) }, /appVersion/);
});
