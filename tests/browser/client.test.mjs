// The client for web pages in Chromium, by the page that `web.listen` serves, at a real gateway. The pictures go to target/browser.
// HOLDFAST_HIDDEN_S=400 hides a tab for so long: after 5 minutes Chromium lets its timers run once a minute.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Gateway, PICTURES, bareTab, certificate, launch } from "./gateway.mjs";

const HIDDEN_S = Number(process.env.HOLDFAST_HIDDEN_S ?? 0);
const OFTEN = "presence.heartbeat_interval_s=1";
/** Long enough for whatever has to come back in time, on a machine that does much else. */
const PATIENT = [OFTEN, "presence.heartbeat_timeout_web_s=120"];
/** For what waits until it is over. */
const IMPATIENT = [OFTEN, "presence.heartbeat_timeout_web_s=3"];

/** A tab with the page at this gateway. It may show no fault, and send nothing elsewhere. */
async function open(t, browser, gateway, user, options = {}) {
  const context = options.context ?? (await browser.newContext({ viewport: { width: 1000, height: 760 } }));
  if (!options.context) t.after(() => context.close());
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (fault) => faults.push(fault.message));
  page.on("console", (line) => /Security Policy/.test(line.text()) && faults.push(line.text()));
  page.on("request", (request) => {
    if (![gateway.web, gateway.url, "data:"].some((own) => request.url().startsWith(own))) faults.push(request.url());
  });
  t.after(() => assert.deepEqual(faults, []));
  await page.goto(`${gateway.web}?url=${encodeURIComponent(gateway.url)}&userId=${user}`);
  await logIn(page, await gateway.usersig(user));
  return page;
}

async function logIn(page, userSig) {
  await page.getByLabel("UserSig").fill(userSig);
  await page.getByRole("button", { name: "Connect", exact: true }).click();
}

const sees = (page, status) => page.locator("#status", { hasText: new RegExp(`^${status}$`) }).waitFor();
const seesEvent = (page, text) => page.locator("#events li", { hasText: text }).first().waitFor();
const picture = (page, name) => page.screenshot({ path: join(PICTURES, `client-${name}.png`), fullPage: true });
const isOnline = (count) => (user) => user.devices.filter((device) => device.transport !== null).length === count;

describe("one web page at a time, with time", () => {
  let browser, gateway;

  before(async () => {
    gateway = await Gateway.start(PATIENT);
    browser = await launch([], ["--disable-back-forward-cache"]);
  });

  after(async () => {
    await browser?.close();
    await gateway?.end();
  });

  test("it logs in, in light, in dark and on a phone, and logs out", async (t) => {
    const page = await open(t, browser, gateway, "alice");
    await sees(page, "online");
    const user = await gateway.user("alice");
    assert.equal(user.status, "Online");
    assert.deepEqual(user.devices.map(({ platform, background }) => [platform, background]), [["Web", false]]);
    assert.match(user.devices[0].sdk_version, /^holdfast-web\//);
    for (const [name, colorScheme, width] of [["light", "light", 1000], ["dark", "dark", 1000], ["phone", "light", 360]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 760 });
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(wider, 0, name);
      await picture(page, name);
    }
    await page.getByRole("button", { name: "In the background" }).click();
    await gateway.awaitUser("alice", (user) => user.devices[0].background === true);
    await page.getByRole("button", { name: "Log out" }).click();
    await seesEvent(page, "logged out");
    assert.equal((await gateway.user("alice")).status, "Offline");
  });

  test("a page that is loaded again resumes its session", async (t) => {
    const page = await open(t, browser, gateway, "carol");
    await sees(page, "online");
    const [before] = (await gateway.user("carol")).devices;
    await page.reload();
    await logIn(page, await gateway.usersig("carol"));
    await seesEvent(page, `session ${before.session}, resumed, instance ${before.instance}`);
    assert.deepEqual(await gateway.changes("carol"), ["login"]);
  });

  test("a page that the browser kept comes back by itself", async (t) => {
    const page = await open(t, browser, gateway, "dave");
    await sees(page, "online");
    const [before] = (await gateway.user("dave")).devices;
    await page.goto(`${gateway.web}demo.css`);
    await gateway.awaitUser("dave", isOnline(0));
    // Playwright waits for a load that never comes. A page that was loaded again would have no UserSig to log in with.
    page.goBack({ timeout: 0 }).catch(() => {});
    const [after] = (await gateway.awaitUser("dave", isOnline(1))).devices;
    assert.deepEqual([after.session, after.instance], [before.session, before.instance]);
    assert.deepEqual(await gateway.changes("dave"), ["login"]);
  });

  test("two tabs exclude each other, and do not fight", async (t) => {
    const first = await open(t, browser, gateway, "erin");
    await sees(first, "online");
    const second = await open(t, browser, gateway, "erin", { context: first.context() });
    await sees(second, "online");
    await sees(first, "forced offline");
    await seesEvent(first, "code 302); by Web");
    assert.equal(await first.locator("#events li", { hasText: "reconnecting" }).count(), 0);
    assert.deepEqual(await gateway.changes("erin"), ["login", "login"]);
    await gateway.awaitUser("erin", isOnline(1));
    await picture(first, "forced-off");
  });

  test("a phone forces it off, and keeps its place", async (t) => {
    const page = await open(t, browser, gateway, "frank");
    await sees(page, "online");
    await gateway.connect("frank", "iPhone");
    await sees(page, "forced offline");
    await seesEvent(page, "code 302); by iPhone");
    await seesEvent(page, "log in again");
    assert.equal(await page.locator("#events li", { hasText: "reconnecting" }).count(), 0);
    const { devices } = await gateway.user("frank");
    assert.deepEqual(devices.map((device) => device.platform), ["iPhone"]);
    assert.deepEqual(await gateway.changes("frank"), ["login", "login"]);
  });

  test("a message is shown, and acknowledged", async (t) => {
    const page = await open(t, browser, gateway, "judy");
    await sees(page, "online");
    const text = "<img src=x onerror=alert(1)> Grüße";
    const { outcome, devices } = await gateway.send({ to: [{ user: "judy" }], from: "shop", kind: "order", text });
    assert.deepEqual([outcome, devices.map((device) => [device.platform, device.outcome])], ["acked", [["Web", "acked"]]]);
    await seesEvent(page, `from shop, order: ${text}`);
    await picture(page, "message");
  });

  test("an app answers a message, and refuses another", async (t) => {
    const page = await open(t, browser, gateway, "kim");
    await sees(page, "online");
    const options = { url: gateway.url, userId: "leo", userSig: await gateway.usersig("leo") };
    await page.evaluate(async (options) => {
      const { connect } = await import("/client.js");
      const onMessage = async ({ text }) => `${JSON.parse(text()).sum} + 1`;
      await new Promise((done) => connect({ ...options, onMessage }).on("online", done));
    }, options);
    const answered = await gateway.send({ to: [{ user: "leo" }], json: { sum: 41 } });
    assert.deepEqual([answered.outcome, Buffer.from(answered.devices[0].reply, "base64").toString()], ["acked", "41 + 1"]);
    assert.equal((await gateway.send({ to: [{ user: "leo" }], text: "no JSON" })).outcome, "refused");
  });

  test("it outlives the end of the network", async (t) => {
    const page = await open(t, browser, gateway, "grace");
    await sees(page, "online");
    const { session } = (await gateway.user("grace")).devices[0];
    await page.context().setOffline(true);
    assert.equal(await page.evaluate(() => navigator.onLine), false);
    await page.context().setOffline(false);
    await seesEvent(page, "the network is back");
    await seesEvent(page, `session ${session}, resumed`);
    assert.deepEqual(await gateway.changes("grace"), ["login"]);
  });

  test("it outlives a restart and the death of the gateway", async (t) => {
    const page = await open(t, browser, gateway, "heidi");
    await sees(page, "online");
    const { session } = (await gateway.user("heidi")).devices[0];
    await gateway.stop();
    await seesEvent(page, "the gateway is stopping (code 203)");
    await sees(page, "reconnecting");
    await picture(page, "reconnecting");
    await gateway.again();
    await sees(page, "online");
    await gateway.kill();
    await sees(page, "reconnecting");
    await gateway.again();
    await sees(page, "online");
    await seesEvent(page, `session ${session}, resumed`);
    assert.deepEqual(await gateway.changes("heidi"), ["login"]);
  });
});

describe("one web page at a time, without time", () => {
  let browser, gateway;

  before(async () => {
    gateway = await Gateway.start(IMPATIENT);
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await gateway?.end();
  });

  test("a page that is closed is Online until its time-out", async (t) => {
    const page = await open(t, browser, gateway, "bob");
    await sees(page, "online");
    await page.close();
    const left = await gateway.awaitUser("bob", isOnline(0));
    assert.equal(left.status, "Online");
    await gateway.awaitUser("bob", (user) => user.status === "Offline");
    assert.deepEqual(await gateway.changes("bob"), ["login", "time-out"]);
  });

  test("a page whose device has slept comes back when it wakes", async (t) => {
    const page = await open(t, browser, gateway, "ivan");
    await sees(page, "online");
    const devtools = await browser.newBrowserCDPSession();
    const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
    const renderers = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
    renderers.forEach((id) => process.kill(id, "SIGSTOP"));
    await gateway.awaitUser("ivan", (user) => user.status === "Offline");
    renderers.forEach((id) => process.kill(id, "SIGCONT"));
    await gateway.awaitUser("ivan", isOnline(1));
    await seesEvent(page, "reconnecting");
    assert.deepEqual(await gateway.changes("ivan"), ["login", "time-out", "login"]);
  });
});

test("two tabs are online together where two may be", async (t) => {
  const gateway = await Gateway.start([...PATIENT, "presence.instances_web=2"]);
  t.after(() => gateway.end());
  const browser = await launch();
  t.after(() => browser.close());
  const tabs = [await open(t, browser, gateway, "alice")];
  await sees(tabs[0], "online");
  tabs.push(await open(t, browser, gateway, "alice", { context: tabs[0].context() }));
  await sees(tabs[1], "online");
  const { devices } = await gateway.user("alice");
  assert.equal(devices.length, 2);
  assert.notEqual(devices[0].instance, devices[1].instance);
  const third = await open(t, browser, gateway, "alice", { context: tabs[0].context() });
  await sees(third, "online");
  await sees(tabs[0], "forced offline");
  assert.equal(await tabs[1].locator("#status").innerText(), "online");
});

test("it comes by wss where the browser takes the certificate, and not where it does not", async (t) => {
  const { entry, hash } = certificate("localhost", 30);
  const gateway = await Gateway.start(PATIENT, entry);
  t.after(() => gateway.end());
  const [taking, refusing] = [await launch([`--ignore-certificate-errors-spki-list=${hash}`]), await launch()];
  t.after(() => Promise.all([taking.close(), refusing.close()]));
  const page = await open(t, taking, gateway, "alice");
  await sees(page, "online");
  const { devices } = await gateway.user("alice");
  assert.deepEqual(devices.map(({ transport }) => transport), ["websocket-tls"]);
  await page.getByRole("button", { name: "Log out" }).click();
  await seesEvent(page, "logged out");
  const other = await open(t, refusing, gateway, "bob");
  await sees(other, "reconnecting");
  assert.equal((await gateway.user("bob")).status, null);
});

test("a tab that is hidden is in the background, and stays online", async (t) => {
  const gateway = await Gateway.start(["presence.heartbeat_interval_s=10", "presence.heartbeat_timeout_web_s=90"]);
  t.after(() => gateway.end());
  const throttles = ["background-timer-throttling", "backgrounding-occluded-windows", "renderer-backgrounding"];
  const browser = await launch([], throttles.map((name) => `--disable-${name}`));
  t.after(() => browser.close());
  const tab = await bareTab(browser, `${gateway.web}?url=${encodeURIComponent(gateway.url)}&userId=alice`);
  while (!(await tab.evaluate("location.protocol === 'http:' && document.readyState === 'complete'")));
  await tab.evaluate(`form.userSig.value = "${await gateway.usersig("alice")}"; form.connect.click()`);
  await gateway.awaitUser("alice", isOnline(1));
  await bareTab(browser, "about:blank");
  assert.equal(await tab.evaluate("document.visibilityState"), "hidden");
  await gateway.awaitUser("alice", (user) => user.devices[0].background === true);
  await new Promise((done) => setTimeout(done, HIDDEN_S * 1_000));
  await tab.show();
  await gateway.awaitUser("alice", (user) => user.devices[0].background === false);
  assert.deepEqual(await gateway.changes("alice"), ["login"]);
});
