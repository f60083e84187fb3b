// The operator's page: what it reckons, in Node alone, and what it shows, in Chromium before a gateway of its own. Run by
// `npm install --prefix target/browser playwright-core@1.65.1 && node --test tests/browser/page.test.mjs`. HOLDFAST and CHROMIUM
// name the programs; the pictures go to target/browser.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runInNewContext } from "node:vm";
import { Gateway, PICTURES, ROOT, certificate, launch } from "./gateway.mjs";

const TOKEN = "a-token+for/a=test~";
/** What a browser would run if it took a UserID for anything but text. */
const HOSTILE = "<img src=x onerror=alert(1)>";

// What is reckoned.

const NAMES = ["Sample", "Interval", "History", "niceCeiling", "rateText", "countText", "amountText", "bytesText", "boundText", "spanText", "visibleText", "userPath", "minutesText"];
const figures = runInNewContext(
  `${readFileSync(join(ROOT, "src/services/http/admin/page/figures.js"), "utf8")};({ ${NAMES} })`,
  { Intl, Map },
);

function interval(before, now, seconds = 2) {
  return new figures.Interval(new figures.Sample(0, before), new figures.Sample(seconds * 1000, now));
}

test("samples are read with their labels, whatever is in them", () => {
  const sample = new figures.Sample(0, '# HELP a What it is.\n# TYPE a counter\na 3\nb{x="1",y="a\\"} 5,{"} 2.5\nb{x="2",y="c"} 1\nbroken\n');
  assert.equal(sample.value("a"), 3);
  assert.equal(sample.value("nothing"), 0);
  assert.equal(sample.help.get("a"), "What it is.");
  assert.deepEqual([...sample.family("b")].map(({ labels, value }) => [labels.get("x"), labels.get("y"), value]), [["1", 'a\\"} 5,{', 2.5], ["2", "c", 1]]);
});

test("rates are a second, and of a counter that fell what it has counted since", () => {
  const rates = interval("a 10\nholdfast_b{c=\"1\"} 4\n", "a 30\nholdfast_b{c=\"1\"} 2\nholdfast_b{c=\"2\"} 6\n");
  assert.equal(rates.rate("a"), 10);
  assert.equal(rates.rateOf("b"), 4);
  assert.equal(rates.rateOf("b", (labels) => labels.get("c") === "1"), 1);
});

test("percentiles are bounds of what came in the interval", () => {
  const buckets = (one, two, all) => `h_bucket{le="0.001"} ${one}\nh_bucket{le="0.002"} ${two}\nh_bucket{le="+Inf"} ${all}\n`;
  const check = (before, now, percent, expected) => assert.equal(interval(buckets(...before), buckets(...now)).percentile("h", percent), expected);
  check([5, 5, 5], [5, 5, 5], 50, null);
  check([5, 5, 5], [6, 7, 7], 50, 0.001);
  check([5, 5, 5], [6, 7, 7], 99, 0.002);
  check([5, 5, 5], [6, 7, 9], 99, Infinity);
});

test("gaps part the lines, and what is older than the window goes", () => {
  const history = new figures.History(10_000);
  const put = (at) => history.push(at, { a: at });
  put(1_000);
  history.gap(2_000);
  history.gap(2_500);
  put(3_000);
  put(4_000);
  const starts = () => [...history.lines("a")].map((line) => [...line].map(([at]) => at));
  assert.deepEqual(starts(), [[1_000], [3_000, 4_000]]);
  assert.equal(history.nearest(2_100).at, 3_000);
  put(11_500);
  assert.deepEqual(starts(), [[3_000, 4_000, 11_500]]);
  assert.equal(history.spanMs(), 10_000);
});

test("numbers are written for people", () => {
  const check = (write, pairs) => pairs.forEach(([value, text]) => assert.equal(figures[write](value), text));
  check("niceCeiling", [[0, 1], [1, 1], [1.1, 2], [3, 5], [50, 50], [51, 100], [1_200_000, 2_000_000]]);
  check("countText", [[0, "0"], [1234567, "1,234,567"]]);
  assert.deepEqual([0, 1, 2000].map((count) => figures.amountText(count, "user")), ["0 users", "one user", "2,000 users"]);
  check("rateText", [[0, "0"], [0.01, "<0.1"], [0.05, "0.1"], [12.34, "12.3"], [1234.5, "1,235"]]);
  check("bytesText", [[0, "0 B"], [1023, "1,023 B"], [1536, "1.5 KiB"], [2 ** 30, "1.0 GiB"], [2 ** 60, "1,048,576 TiB"]]);
  check("boundText", [[null, "–"], [0.000004, "≤ 4 µs"], [0.016, "≤ 16 ms"], [4.2, "≤ 4.2 s"], [Infinity, "over all bounds"]]);
  check("spanText", [[-1, "0 s"], [59.6, "1 min 0 s"], [3600, "1 h 0 min"], [90061, "1 d 1 h"]]);
  check("minutesText", [[60_000, "the last minute"], [300_000, "the last 5 minutes"]]);
});

test("text of others is seen as it is, and stays in its path", () => {
  assert.equal(figures.visibleText("a\u202eb\u0007 <b>é"), "a⟨U+202E⟩b⟨U+0007⟩ <b>é");
  assert.equal(figures.userPath("a/../b?c#%2e"), "v1/users/a%2F..%2Fb%3Fc%23%252e");
  assert.deepEqual([".", "..", "..."].map(figures.userPath), [null, null, "v1/users/..."]);
});

// What is shown.

let browser, gateway;

/** Opens the page in a tab of its own, and holds it to what it may do: no fault, and no request to anyone else. */
async function open(t, options = {}, prepare = async () => {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
  t.after(() => context.close());
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (fault) => faults.push(fault.message));
  page.on("dialog", (dialog) => faults.push(dialog.message()) && dialog.dismiss());
  page.on("console", (line) => /Security Policy/.test(line.text()) && faults.push(line.text()));
  page.on("request", (request) => {
    const isOwn = request.url().startsWith(`${gateway.admin}/`) || request.url().startsWith("data:");
    const tells = decodeURIComponent(request.url()).includes(TOKEN);
    if (!isOwn || tells || request.method() !== "GET") faults.push(`${request.method()} ${request.url()}`);
  });
  t.after(() => assert.deepEqual(faults, []));
  await prepare(page);
  await page.goto(`${gateway.admin}/`);
  return page;
}

async function giveToken(page, token = TOKEN) {
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.keyboard.press("Enter");
}

/** The tile of a plot, once it shows this. */
async function seesTile(page, title, text) {
  await page.locator(".tile", { hasText: title }).locator(".value", { hasText: new RegExp(`^${text}$`) }).waitFor();
}

async function seesState(page, text) {
  await page.locator("#state", { hasText: text }).waitFor();
}

async function find(page, user) {
  await page.getByLabel("UserID").fill(user);
  await page.keyboard.press("Enter");
}

describe("in Chromium", () => {
  before(async () => {
    const certificates = [certificate("gateway.example", 365), certificate("soon.example", 3)].map(({ entry }) => entry);
    const settings = [`admin.token="${TOKEN}"`, `terminals.tls.certificates=[${certificates}]`];
    gateway = await Gateway.start(settings);
    browser = await launch();
    const terminals = [["alice", "iPhone"], ["bob", "Mac"], [HOSTILE, "Web"]];
    await Promise.all(terminals.map(([user, platform]) => gateway.connect(user, platform, "--instance", "7")));
  });

  after(async () => {
    await browser?.close();
    await gateway?.end();
  });

  test("the token is asked for, kept in the tab, and sent in a header alone", async (t) => {
    const page = await open(t);
    await seesState(page, "Token needed");
    assert.equal(await page.getByRole("searchbox").isVisible(), false);
    await giveToken(page, "wrong");
    await page.getByText("The gateway does not accept this token.").waitFor();
    await giveToken(page);
    await seesState(page, "Live");
    assert.equal(new URL(page.url()).href, `${gateway.admin}/`);
    await page.reload();
    await seesState(page, "Live");
    assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie]), [0, ""]);
    await page.getByRole("button", { name: "Forget the token" }).click();
    await seesState(page, "Token needed");
  });

  test("numbers come by themselves, in light, in dark and on a phone", async (t) => {
    const page = await open(t);
    await giveToken(page);
    await seesTile(page, "Users Online", "3");
    await gateway.connect("carol", "Web");
    await seesTile(page, "Users Online", "4");
    const classes = (await page.locator("#classes tr").allInnerTexts()).map((row) => row.split(/\s+/).join(" ").trim());
    assert.deepEqual(classes, ["mobile 1", "desktop 1", "web 2"]);
    assert.match(await page.locator("#logins tbody").innerText(), /^OK\s+\S+\s+4$/);
    const certificates = (await page.locator("#certificates tr").allInnerTexts()).map((row) => row.split(/\s+/).join(" ").trim());
    assert.match(certificates.join("; "), /^soon\.example terminals 2 2 d 23 h; gateway\.example terminals 1 364 d 23 h$/);
    const attention = await page.locator("#attention").innerText();
    assert.match(attention, /certificate for soon\.example \(terminals 2\) expires in 2 d 23 h/);
    assert.doesNotMatch(attention, /certificate for gateway\.example/);
    const shards = await page.locator("#shards tbody tr").count();
    assert.ok(shards > 1, `${shards}`);
    for (const [name, colorScheme, width] of [["light", "light", 1360], ["dark", "dark", 1360], ["phone", "light", 360]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(wider, 0, name);
      await page.screenshot({ path: join(PICTURES, `page-${name}.png`), fullPage: true });
    }
  });

  test("a user is found, and a UserID is never more than text", async (t) => {
    const page = await open(t);
    await giveToken(page);
    await seesState(page, "Live");
    await find(page, HOSTILE);
    await page.locator("#user-said", { hasText: "Online, one device" }).waitFor();
    assert.equal(await page.locator("#user-name").innerText(), HOSTILE);
    assert.equal(await page.locator("img").count(), 0);
    assert.match(await page.locator("#devices tbody").innerText(), /^Web 7\s+Online\s/);
    assert.match(await page.locator("#user-changes tbody").innerText(), /^1\s.*\slogin\s+Web 7\s/);
    await page.screenshot({ path: join(PICTURES, "page-user.png") });
    for (const [user, text] of [["nobody", "no such account"], [" alice", "spaces at its ends"], ["é", "not a UserID"], ["..", "no browser can ask"]]) {
      await find(page, user);
      await page.locator("#user-said", { hasText: text }).waitFor();
    }
    await page.getByRole("button", { name: "Close" }).click();
    assert.equal(await page.locator("#user").isVisible(), false);
  });

  test("it says so when the gateway is away, and when it is another", async (t) => {
    const page = await open(t);
    await giveToken(page);
    await seesState(page, "Live");
    await gateway.kill();
    await seesState(page, "No answer");
    await page.getByText("the numbers below are of then").waitFor();
    await page.screenshot({ path: join(PICTURES, "page-away.png") });
    await gateway.again();
    await seesState(page, "Live");
    await page.getByText("the gateway was started again").waitFor();
    await page.getByText("the gateway did not answer").waitFor();
  });

  test("it says so when the tab was asleep", async (t) => {
    const page = await open(t, {}, (page) => page.clock.install());
    await giveToken(page);
    await seesState(page, "Live");
    await page.clock.fastForward("03:00");
    await page.getByText("this tab was asleep").waitFor();
    await seesState(page, "Live");
  });
});
