// Messages to terminals in Node, at a gateway that does as told.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { Message, Reply } from "../../client.d.ts";
import { type Connection, event, withGateway } from "./gateway.ts";

const KNOWN = 64;
let told: unknown[] = [];

beforeEach(() => {
  told = [];
  console.error = (error: unknown) => void told.push(error);
});

/** An app that takes each message when the test says so. */
class App {
  readonly came: [bigint, boolean][] = [];
  readonly #open: ((reply: Reply) => void)[] = [];
  #news = () => {};

  readonly onMessage = ({ id, again }: Message) =>
    new Promise<Reply>((resolve) => {
      assert.equal(this.#open.length, 0, "one at a time");
      this.came.push([id, again]);
      this.#open.push(resolve);
      this.#news();
    });

  async take(reply?: Reply) {
    while (this.#open.length === 0) await new Promise<void>((resolve) => (this.#news = resolve));
    this.#open.shift()!(reply);
  }
}

/** Sends messages with these ids at once. */
function send(connection: Connection, ...ids: (bigint | number)[]) {
  const messages = ids.map((id) => connection.bytes({ message: { id: `${id}`, kind: "order", body: Buffer.from(`${id}`), wantsAck: true } }));
  connection.socket.send(Buffer.concat(messages));
}

/** The next acknowledgement: its ids, and what else it says. */
async function ack(connection: Connection) {
  const { messageAck, ...others } = await connection.request();
  assert.deepEqual(others, {});
  const { id, reply, refused } = messageAck;
  return [id.join(" "), Buffer.from(reply ?? []).toString(), ...(refused ? ["refused"] : [])];
}

test("a message comes whole, and is acknowledged", () =>
  withGateway(async (gateway, open) => {
    const came: Message[] = [];
    open({ onMessage: (message) => void came.push(message) });
    const connection = await gateway.connection();
    assert.equal((await connection.accept(5)).features, "7");
    const id = `${2n ** 64n - 1n}`;
    connection.send({ message: { id, from: "shop", kind: "order", body: Buffer.from("Grüße"), ttlMs: 60_000, wantsAck: true } });
    assert.deepEqual(await ack(connection), [id, ""]);
    const { text, ...message } = came[0]!;
    assert.equal(text(), "Grüße");
    const body = new TextEncoder().encode("Grüße");
    assert.deepEqual(message, { id: 2n ** 64n - 1n, from: "shop", kind: "order", body, again: false });
  }));

test("who takes no messages says so", () =>
  withGateway(async (gateway, open) => {
    const terminal = open();
    const connection = await gateway.connection();
    assert.equal((await connection.accept(5)).features, "1");
    send(connection, 1);
    await event(terminal, "online");
    terminal.setBackground(true);
    assert.deepEqual(await connection.request(), { background: { background: true } });
  }));

test("one comes after the other, and is acknowledged when it is taken", () =>
  withGateway(async (gateway, open) => {
    const app = new App();
    open({ onMessage: app.onMessage });
    const connection = await gateway.connection();
    await connection.accept(5);
    send(connection, 1, 2);
    send(connection, 3);
    for (const id of [1n, 2n, 3n]) {
      await app.take();
      assert.deepEqual(await ack(connection), [`${id}`, ""]);
    }
    assert.deepEqual(app.came, [[1n, false], [2n, false], [3n, false]]);
  }));

test("what has not reached the app when all is over never does", () =>
  withGateway(async (gateway, open) => {
    const app = new App();
    const terminal = open({ onMessage: app.onMessage });
    const connection = await gateway.connection();
    await connection.accept(5);
    await event(terminal, "online");
    send(connection, 1, 2);
    connection.send({ forceOffline: { verdict: { code: 302 } } });
    await event(terminal, "stopped");
    await app.take();
    await new Promise((resolve) => setTimeout(resolve));
    assert.deepEqual(app.came, [[1n, false]]);
  }));

test("what the app answers is said", () =>
  withGateway(async (gateway, open) => {
    const app = new App();
    open({ onMessage: app.onMessage });
    const connection = await gateway.connection();
    await connection.accept(5);
    send(connection, 1, 2, 3, 4);
    for (const [reply, said] of [["Grüße", "Grüße"], [Buffer.from("bytes"), "bytes"], ["x".repeat(4_096), "x".repeat(4_096)], ["", ""]] as const) {
      await app.take(reply);
      assert.equal((await ack(connection))[1], said);
    }
    // Nobody asked.
    connection.send({ message: { id: 5, kind: "order" } });
    await app.take("unheard");
    send(connection, 6);
    await app.take("heard");
    assert.deepEqual(await ack(connection), ["6", "heard"]);
  }));

test("what the app cannot take is refused, and comes again if it is sent again", () =>
  withGateway(async (gateway, open) => {
    const came: [bigint, boolean][] = [];
    const faults: (() => Reply | Promise<Reply>)[] = [
      () => {
        throw new Error("thrown");
      },
      () => Promise.reject(new Error("rejected")),
      () => "x".repeat(4_097),
      async () => "taken",
    ];
    const onMessage = ({ id, again }: Message) => {
      came.push([id, again]);
      return faults.shift()!();
    };
    open({ onMessage });
    const connection = await gateway.connection();
    await connection.accept(5);
    for (const said of [["7", "", "refused"], ["7", "", "refused"], ["7", "", "refused"], ["7", "taken"]]) {
      send(connection, 7);
      assert.deepEqual(await ack(connection), said);
    }
    assert.deepEqual(came, [[7n, false], [7n, true], [7n, true], [7n, true]]);
    assert.deepEqual(told.map(String), [
      "Error: thrown",
      "Error: rejected",
      "RangeError: onMessage: a reply of 4097 bytes, of 4096 at most",
    ]);
  }));

test("those that come at once are acknowledged together, but for replies and refusals", () =>
  withGateway(async (gateway, open) => {
    const onMessage = ({ id }: Message) => {
      if (id === 2n) return "two";
      if (id === 3n) throw new Error("three");
      return undefined;
    };
    open({ onMessage });
    const connection = await gateway.connection();
    await connection.accept(5);
    send(connection, 1, 2, 3, 4);
    assert.deepEqual([await ack(connection), await ack(connection), await ack(connection)], [["2", "two"], ["3", "", "refused"], ["1 4", ""]]);
    const many = Array.from({ length: 70 }, (_, index) => 100 + index);
    send(connection, ...many);
    assert.deepEqual(await ack(connection), [many.slice(0, 64).join(" "), ""]);
    assert.deepEqual(await ack(connection), [many.slice(64).join(" "), ""]);
  }));

test("after a lost connection each is acknowledged by the next, and was taken once", () =>
  withGateway(async (gateway, open) => {
    const app = new App();
    const terminal = open({ onMessage: app.onMessage });
    const first = await gateway.connection();
    await first.accept(5);
    send(first, 1, 2, 3);
    await app.take("one");
    assert.deepEqual(await ack(first), ["1", "one"]);
    first.socket.terminate();
    await event(terminal, "reconnecting");
    await app.take("two");

    const second = await gateway.connection();
    await second.accept(5);
    send(second, 1, 2, 3);
    const said = [await ack(second), await ack(second)];
    assert.deepEqual(said, [["1", "one"], ["2", "two"]], "the same again");
    await app.take();
    assert.deepEqual(await ack(second), ["3", ""]);
    assert.deepEqual(app.came, [[1n, false], [2n, false], [3n, false]]);
  }));

test("the last ones are known", () =>
  withGateway(async (gateway, open) => {
    const came: bigint[] = [];
    open({ onMessage: ({ id }) => void came.push(id) });
    const connection = await gateway.connection();
    await connection.accept(5);
    const ids = Array.from({ length: KNOWN + 1 }, (_, index) => BigInt(index));
    for (const id of [...ids, 1n, 0n]) {
      send(connection, id);
      assert.deepEqual(await ack(connection), [`${id}`, ""]);
    }
    assert.deepEqual(came, [...ids, 0n], "the oldest was forgotten");
  }));
