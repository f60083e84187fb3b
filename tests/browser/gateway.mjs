// What the tests in a browser share: the programs, free ports, and a gateway with addresses of its own that ends with the tests.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const ROOT = new URL("../../", import.meta.url).pathname;
const HOLDFAST = process.env.HOLDFAST ?? join(ROOT, "target/debug/holdfast");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const PICTURES = join(ROOT, "target/browser");
mkdirSync(PICTURES, { recursive: true });

/** Headless, with these arguments and without those of Playwright's own. */
export function launch(args = [], without = []) {
  const { chromium } = createRequire(join(PICTURES, "modules.cjs"))("playwright-core");
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", ...args], ignoreDefaultArgs: without });
}

/** A tab that can be hidden: Playwright makes each of its own believe that it is seen. Gives a way to run code in it. */
export async function bareTab(browser, url) {
  const devtools = await browser.newBrowserCDPSession();
  const { targetId } = await devtools.send("Target.createTarget", { url });
  const { sessionId } = await devtools.send("Target.attachToTarget", { targetId, flatten: false });
  const waits = new Map();
  devtools.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { id, result } = JSON.parse(message);
    waits.get(id)?.(result);
  });
  const evaluate = async (expression) => {
    const id = waits.size + 1;
    const params = { expression, awaitPromise: true, returnByValue: true };
    const answered = new Promise((done) => waits.set(id, done));
    await devtools.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id, method: "Runtime.evaluate", params }) });
    return (await answered).result.value;
  };
  return { evaluate, show: () => devtools.send("Target.activateTarget", { targetId }) };
}

export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const found = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return found;
}

/** A certificate that signs itself, for this host and so many days: as an entry of a setting, and the hash by which Chromium takes it. */
export function certificate(host, days) {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-certificate-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const [chain, key] = ["chain.pem", "key.pem"].map((name) => join(folder, name));
  const ask = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days ${days} -subj /CN=${host} -addext subjectAltName=DNS:${host}`;
  execFileSync("openssl", [...ask.split(" "), "-keyout", key, "-out", chain], { stdio: ["ignore", "ignore", "pipe"] });
  const spki = new X509Certificate(readFileSync(chain)).publicKey.export({ type: "spki", format: "der" });
  return { entry: `{ chain = "${chain}", key = "${key}" }`, hash: createHash("sha256").update(spki).digest("base64") };
}

/** A process of the program, once it has written a line with `ready` in it. It ends with this one, however that ends. */
async function start(args, ready) {
  const child = spawn("setpriv", ["--pdeathsig", "KILL", HOLDFAST, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  await new Promise((done, fail) => {
    let text = "";
    child.stdout.on("data", (data) => (text += data).includes(ready) && done());
    child.on("exit", (code) => fail(new Error(`${args} ended with ${code}: ${text}`)));
  });
  child.removeAllListeners("exit");
  return child;
}

async function end(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, "exit");
}

/** A gateway with a listener for WebSockets, by TLS if it is given a certificate for it, and one for browsers. It can be stopped and
 * started again where it was. */
export class Gateway {
  #folder = mkdtempSync(join(tmpdir(), "holdfast-browser-"));
  #terminals = [];
  #process;

  static async start(settings = [], entry = null) {
    const gateway = new Gateway();
    const [terminals, http, admin, web, websocket] = await freePorts(5);
    const listen = { terminals, http, admin, web };
    gateway.reached = Object.entries(listen).flatMap(([name, port]) => ["--set", `${name}.listen=["127.0.0.1:${port}"]`]);
    gateway.backend = `http://127.0.0.1:${http}`;
    gateway.admin = `http://127.0.0.1:${admin}`;
    gateway.web = `http://127.0.0.1:${web}/`;
    gateway.url = entry === null ? `ws://127.0.0.1:${websocket}/` : `wss://localhost:${websocket}/`;
    const listener = `address = "127.0.0.1:${websocket}", transport = "websocket", tls = ${entry !== null}`;
    const tls = entry === null ? [] : [`terminals.tls.certificates=[${entry}]`];
    const own = [`terminals.listener=[{ ${listener} }]`, `registry.path="${gateway.#folder}/data"`, ...tls, ...settings];
    gateway.settings = own.flatMap((setting) => ["--set", setting]);
    await gateway.again();
    return gateway;
  }

  async again() {
    this.#process = await start([...this.reached, ...this.settings], "ready");
  }

  /** As the operator does it. */
  stop() {
    return end(this.#process, "SIGTERM");
  }

  kill() {
    return end(this.#process, "SIGKILL");
  }

  async end() {
    await Promise.all(this.#terminals.map((terminal) => end(terminal, "SIGTERM")));
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** A terminal that is no browser, once it is logged in. */
  async connect(user, platform, ...more) {
    const terminal = await start([...this.reached, ...this.settings, "connect", "--user", user, "--platform", platform, ...more], "logged in");
    this.#terminals.push(terminal);
  }

  async usersig(user) {
    const child = spawn(HOLDFAST, ["usersig", user], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    for await (const data of child.stdout) text += data;
    return text.trim();
  }

  /** Sends a message as the app's backend does. Gives what became of it at its one target. */
  async send(message) {
    const caller = `sdkappid=1400000001&identifier=administrator&usersig=${await this.usersig("administrator")}`;
    const body = JSON.stringify({ wait_ms: 2_500, ...message });
    const response = await fetch(`${this.backend}/v1/send?${caller}`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    assert.equal(response.status, 200);
    const { results } = await response.json();
    assert.equal(results.length, 1);
    return results[0];
  }

  /** What the gateway knows of a user; nothing of one that has never been there. */
  async user(name) {
    const response = await fetch(`${this.admin}/v1/users/${name}`);
    if (response.status === 404) return { status: null, devices: [] };
    assert.equal(response.status, 200);
    return response.json();
  }

  /** Asks again and again, until it is so. */
  async awaitUser(name, isSo) {
    for (;;) {
      const user = await this.user(name);
      if (isSo(user)) return user;
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  /** The changes of a user, as their kinds. */
  async changes(name) {
    const text = await (await fetch(`${this.admin}/v1/users/${name}/changes`)).text();
    return text.trim().split("\n").map((line) => JSON.parse(line).kind);
  }
}
