// What a page does to its terminal, with a browser's page, storage and network played. tests/browser has them real.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Gateway, event, withGateway } from "./gateway.ts";

const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
const view = new EventTarget();
const stored = new Map<string, string>();
const storage = {
  getItem: (key: string) => stored.get(key) ?? null,
  setItem: (key: string, value: string) => stored.set(key, value),
  removeItem: (key: string) => stored.delete(key),
};
Object.assign(globalThis, { document: page, window: view, sessionStorage: storage });

beforeEach(() => {
  stored.clear();
  page.visibilityState = "visible";
});

function look(state: "visible" | "hidden") {
  page.visibilityState = state;
  page.dispatchEvent(new Event("visibilitychange"));
}

const show = () => view.dispatchEvent(new Event("pageshow"));
const leave = () => view.dispatchEvent(new Event("pagehide"));

test("a hidden page is in the background", () =>
  withGateway(async (gateway, open) => {
    page.visibilityState = "hidden";
    const terminal = open();
    const connection = await gateway.connection();
    assert.equal((await connection.accept(5)).background, true);
    await event(terminal, "online");
    look("visible");
    assert.deepEqual(await connection.request(), { background: {} });
    look("hidden");
    assert.deepEqual(await connection.request(), { background: { background: true } });
  }));

test("an app that looks itself is let", () =>
  withGateway(async (gateway, open) => {
    page.visibilityState = "hidden";
    const terminal = open({ page: "ignore" });
    const connection = await gateway.connection();
    assert.equal((await connection.accept(5)).background ?? false, false);
    await event(terminal, "online");
    look("visible");
    look("hidden");
    view.dispatchEvent(new Event("offline"));
    terminal.setBackground(true);
    assert.deepEqual(await connection.request(), { background: { background: true } }, "and nothing before");
  }));

test("the browser's word on the network is tried, or heeded", () =>
  withGateway(async (gateway, open) => {
    const terminal = open();
    const first = await gateway.connection();
    await first.accept(5);
    await event(terminal, "online");
    view.dispatchEvent(new Event("offline"));
    assert.deepEqual(await first.request(), { heartbeat: {} });
    const reconnecting = event(terminal, "reconnecting");
    view.dispatchEvent(new Event("online"));
    assert.equal((await reconnecting).inMs, 0);
    await first.closed();
    assert.equal((await (await gateway.connection()).accept(5)).session, "5");
  }));

test("who closes when told of a new attempt is obeyed", () =>
  withGateway(async (gateway, open) => {
    const terminal = open();
    const connection = await gateway.connection();
    await connection.accept(5);
    await event(terminal, "online");
    terminal.on("reconnecting", () => terminal.close());
    const stopped = event(terminal, "stopped");
    view.dispatchEvent(new Event("online"));
    assert.equal((await stopped).next, "connect");
    await connection.closed();
    const other = open({ userId: "bob" });
    assert.equal((await (await gateway.connection()).accept(1)).userId, "bob", "nobody else has come");
    await event(other, "online");
  }));

test("a tab's pages are one device, and resume its session", () =>
  withGateway(async (gateway, open) => {
    const first = open({ keep: "sessionStorage" });
    const { instance } = await (await gateway.connection()).accept(5);
    await event(first, "online");
    assert.equal(stored.size, 0, "a duplicate of the tab gets nothing");
    const duplicate = open({ keep: "sessionStorage" });
    const other = await (await gateway.connection()).accept(6);
    assert.notEqual(other.instance, instance);
    duplicate.close();
    stored.clear();

    leave();
    const second = open({ keep: "sessionStorage" });
    const login = await (await gateway.connection()).accept(5);
    assert.deepEqual([login.instance, login.session], [instance, "5"]);
    await event(second, "online");
    // The first page is shown again while the second has the session.
    const stopped = event(first, "stopped");
    show();
    assert.deepEqual(await stopped, { code: 0, text: "another page of this tab has the session", next: "logIn" });
  }));

test("a tab's next page goes to the user's node at once, and never leaves TLS for it", () =>
  withGateway(async (gateway, open) => {
    const node = await new Gateway().listening();
    const first = open({ keep: "sessionStorage" });
    await (await gateway.connection()).sendOn(node.url);
    await (await node.connection()).accept(5);
    await event(first, "online");
    leave();
    const second = open({ keep: "sessionStorage" });
    assert.equal((await (await node.connection()).accept(5)).session, "5");
    await event(second, "online");
    leave();
    const urls: string[] = [];
    const socketClass = class {
      constructor(url: string) {
        urls.push(url);
      }
      close() {}
    };
    open({ keep: "sessionStorage", url: "wss://gateway.example/", WebSocket: socketClass });
    await new Promise((resolve) => setTimeout(resolve));
    assert.deepEqual(urls, ["wss://gateway.example/"]);
    node.stop();
  }));

test("a page that its browser kept comes back with its session", () =>
  withGateway(async (gateway, open) => {
    for (const keep of ["memory", "sessionStorage"] as const) {
      const terminal = open({ keep });
      const connection = await gateway.connection();
      const { instance } = await connection.accept(5);
      await event(terminal, "online");
      leave();
      await connection.closed();
      assert.equal(stored.size, keep === "memory" ? 0 : 1);
      show();
      const login = await (await gateway.connection()).accept(5);
      assert.deepEqual([login.instance, login.session], [instance, "5"]);
      assert.equal(stored.size, 0);
      terminal.close();
    }
  }));

test("a message that has not reached the app goes to the page that comes next", () =>
  withGateway(async (gateway, open) => {
    const came: bigint[] = [];
    let take = () => {};
    const taken = new Promise<void>((resolve) => (take = resolve));
    const onMessage = ({ id }: { id: bigint }) => (came.push(id), taken);
    const terminal = open({ onMessage });
    const first = await gateway.connection();
    await first.accept(5);
    await event(terminal, "online");
    const messages = [1, 2].map((id) => first.bytes({ message: { id, kind: "order", wantsAck: true } }));
    first.socket.send(Buffer.concat(messages));
    first.send({ heartbeatAnswer: {} });
    while (came.length === 0) await new Promise((resolve) => setTimeout(resolve));
    leave();
    take();
    await new Promise((resolve) => setTimeout(resolve));
    assert.deepEqual(came, [1n], "which may be another one");
    show();
    const second = await gateway.connection();
    await second.accept(5);
    second.socket.send(Buffer.concat(messages));
    assert.deepEqual((await second.request()).messageAck.id, ["1"]);
    assert.deepEqual((await second.request()).messageAck.id, ["2"]);
    assert.deepEqual(came, [1n, 2n]);
  }));

test("a page that leaves before its logout is answered leaves no session behind", () =>
  withGateway(async (gateway, open) => {
    const terminal = open({ keep: "sessionStorage" });
    const connection = await gateway.connection();
    await connection.accept(5);
    await event(terminal, "online");
    const stopped = event(terminal, "stopped");
    const answered = terminal.logout();
    leave();
    assert.equal(await answered, false);
    assert.deepEqual(await stopped, { code: 0, text: "the page has left", next: "logIn" });
    assert.equal(stored.size, 0);
    open({ keep: "sessionStorage" });
    assert.equal((await (await gateway.connection()).accept(6)).session ?? "0", "0", "the next page logs in afresh");
  }));

test("a session that is over is kept by nobody", () =>
  withGateway(async (gateway, open) => {
    const terminal = open({ keep: "sessionStorage" });
    const connection = await gateway.connection();
    await connection.accept(5);
    await event(terminal, "online");
    const answered = terminal.logout();
    await connection.request();
    connection.send({ logoutAnswer: {} });
    assert.equal(await answered, true);
    leave();
    assert.equal(stored.size, 0);
    const closed = open({ keep: "sessionStorage" });
    await (await gateway.connection()).accept(6);
    await event(closed, "online");
    closed.close();
    assert.equal(stored.size, 1, "but one that was only closed");
    open({ keep: "sessionStorage", instance: 9 });
    const another = await (await gateway.connection()).accept(7);
    assert.deepEqual([another.instance, another.session ?? "0"], ["9", "0"], "which is of its instance alone");
  }));
