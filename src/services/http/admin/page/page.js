// What the page does and when: asks the gateway every two seconds, keeps the last minutes, asks for the token, finds a user.
// It only ever reads. The token is in this tab's `sessionStorage` and in a header, never in a URL.

const INTERVAL_MS = 2_000;
const ANSWER_WITHIN_MS = 5_000;
/** Rates that are written are of so long. */
const STEADY_MS = 10_000;
const WINDOW_MS = 5 * MINUTE_MS;
/** Nothing was done for longer: the tab or the machine slept, or the clock was set. */
const ASLEEP_MS = 10_000;
/** Until somebody who is refused asks again, if the gateway does not say. */
const REFUSED_MS = 10_000;
const CHANGES_SHOWN = 20;
const TOKEN_KEY = "holdfast.admin.token";

const page = {
  token: sessionStorage.getItem(TOKEN_KEY),
  /** The last samples, as far back as rates go. */
  samples: [],
  history: new History(WINDOW_MS),
  /** What happened to the numbers, with its time: `{ from, to, text }`. */
  events: [],
  /** The last two samples that were `STEADY_MS` apart, or nearly so: what is shown. */
  shown: null,
  /** When the gateway is to be asked next, and when it has last answered, in ms. */
  dueAt: null,
  answeredAt: null,
  /** When the gateway's process began, in seconds. */
  startedAt: null,
  isAsking: false,
  unreadyText: "",
  /** How far the gateway's clock is ahead of this one, in ms. */
  clockAheadMs: 0,
  timer: null,
  hoveredAt: null,
  /** The user that is shown, with the changes up to `change`. */
  user: null,
  tiles: PLOTS.map((plot) => new Tile(plot)),
};

/** The gateway could not be reached, or answered too late. */
class NoAnswer extends Error {}

/** The gateway answers, but not this. */
class Refusal extends Error {
  constructor(status, text, retryAfterMs) {
    super(text);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The text of a page of the gateway. */
async function ask(path) {
  const headers = page.token === null ? {} : { Authorization: `Bearer ${page.token}` };
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  let response, text;
  try {
    response = await fetch(path, { headers, signal, cache: "no-store", redirect: "error" });
    text = await response.text();
  } catch {
    throw new NoAnswer();
  }
  keepClock(response);
  if (response.ok) return text;
  const retryAfterS = Number(response.headers.get("Retry-After")) || 0;
  throw new Refusal(response.status, faultText(text), retryAfterS * 1000);
}

/** The gateway writes its times by its own clock. The header is of whole seconds, so less says nothing. */
function keepClock(response) {
  const aheadMs = Date.parse(response.headers.get("Date")) - Date.now();
  page.clockAheadMs = Math.abs(aheadMs) > 2_000 ? aheadMs : 0;
}

function faultText(text) {
  try {
    return visibleText(JSON.parse(text).error ?? text);
  } catch {
    return visibleText(text.trim());
  }
}

function gatewayNow() {
  return Date.now() + page.clockAheadMs;
}

/** Asks for everything, shows it, and sets the time for the next. */
async function turn() {
  if (page.isAsking) return;
  clearTimeout(page.timer);
  const begun = Date.now();
  noticeSleep(begun);
  page.isAsking = true;
  const pauseMs = await askAll().catch(takeFault);
  page.isAsking = false;
  page.dueAt = pauseMs === null ? null : Math.max(begun + pauseMs, Date.now());
  if (page.dueAt !== null) page.timer = setTimeout(turn, page.dueAt - Date.now());
}

/** Gives how long to wait after the beginning. */
async function askAll() {
  const text = await askMetrics();
  takeSample(new Sample(Date.now(), text));
  if (page.user !== null) await refreshUser();
  // Two samples make a rate.
  return page.samples.length === 1 ? INTERVAL_MS / 4 : INTERVAL_MS;
}

async function askMetrics() {
  const text = await ask("metrics");
  if (!text.includes("holdfast_build_info")) throw new Refusal(200, "What answers here is no Holdfast", 0);
  if (/^holdfast_ready_now 0$/m.test(text)) page.unreadyText = await ask("readyz").catch((fault) => fault.message);
  return text;
}

/** Timers do not run while a tab or its machine sleeps. */
function noticeSleep(now) {
  if (page.dueAt === null || now - page.dueAt < ASLEEP_MS) return;
  forgetSamples(now);
  note("asleep", page.dueAt, now, "this tab was asleep, and asked for nothing");
}

/** Nothing is reckoned across what happens now. */
function forgetSamples(now) {
  page.samples = [];
  page.history.gap(now);
}

/** Remembers what happened; what goes on is one event. */
function note(kind, from, to, text) {
  const last = page.events.at(-1);
  if (last && last.kind === kind && from - last.to < 3 * INTERVAL_MS) last.to = to;
  else page.events.push({ kind, from, to, text });
  page.events = page.events.filter((event) => event.to > to - WINDOW_MS);
}

function takeSample(sample) {
  const startedAt = sample.value("process_start_time_seconds");
  if (page.startedAt !== null && page.startedAt !== startedAt) {
    forgetSamples(sample.at);
    note("restart", sample.at, sample.at, "the gateway was started again: what it counts begins anew");
  } else if (page.answeredAt >= sample.at) {
    // The clock of this machine was set back.
    page.samples = [];
    page.history = new History(WINDOW_MS);
  }
  page.startedAt = startedAt;
  page.samples = page.samples.filter(({ at }) => at >= sample.at - STEADY_MS);
  const before = page.samples.at(-1);
  page.samples.push(sample);
  page.answeredAt = sample.at;
  if (!before) return;
  const interval = new Interval(before, sample);
  page.history.push(sample.at, Object.fromEntries(PLOTS.map(({ name, read }) => [name, read(interval)])));
  page.shown = new Interval(page.samples[0], sample);
  setState("live", "Live");
  draw();
}

/** Says what is wrong. Gives how long to wait, or `null` if there is nothing to wait for. */
function takeFault(fault) {
  const now = Date.now();
  forgetSamples(now);
  if (fault instanceof Refusal && fault.status === 401) {
    askForToken(page.token === null ? "" : "The gateway does not accept this token.");
    return null;
  }
  if (fault instanceof Refusal) {
    setState("refused", "Refused", `The gateway refuses to tell its numbers (${fault.status}): ${fault.message}.`);
    return Math.max(fault.retryAfterMs, REFUSED_MS);
  }
  if (!(fault instanceof NoAnswer)) {
    setState("failed", "Failed", `This page has failed, and should be loaded again: ${fault}`);
    return REFUSED_MS;
  }
  note("away", page.answeredAt ?? now, now, "the gateway did not answer");
  const since = page.answeredAt === null ? "" : ` since ${timeText(page.answeredAt, now)}; the numbers below are of then`;
  setState("away", "No answer", `No answer from ${location.host}${since}. It is asked again every ${INTERVAL_MS / 1000} seconds.`);
  return INTERVAL_MS;
}

/** What the page is doing, and what is wrong if anything is. */
function setState(name, title, trouble = "") {
  const pill = byId("state");
  pill.dataset.state = name;
  document.body.dataset.state = name;
  setText(pill, title);
  setText(byId("trouble"), trouble);
  setHidden(byId("trouble"), trouble === "");
  setHidden(byId("forget"), page.token === null || name === "waiting");
  drawEvents();
  if (name !== "live") setText(byId("freshness"), "");
  document.title = name === "live" ? `Holdfast, ${location.host}` : `${title}: Holdfast, ${location.host}`;
}

function draw() {
  const { now } = page.shown;
  setHidden(byId("numbers"), false);
  setHidden(byId("token-form"), true);
  setText(byId("build"), buildText(now));
  setText(byId("freshness"), timeText(now.at, now.at));
  fillList(byId("attention"), attention(page.shown, page.unreadyText));
  drawPlots();
  drawSections(page.shown);
}

function buildText(now) {
  const labels = now.family("holdfast_build_info")[0]?.labels ?? new Map();
  const commit = labels.get("commit") ?? "unknown";
  const build = commit === "unknown" ? labels.get("version") : `${labels.get("version")} (${commit.slice(0, 12)})`;
  const started = now.value("process_start_time_seconds");
  const up = started > 0 ? `, up ${spanText(gatewayNow() / 1000 - started)}` : "";
  return `${visibleText(build)} at ${location.host}${up}`;
}

function drawPlots() {
  if (page.shown === null) return;
  const { at } = page.shown.now;
  setText(byId("plots-title"), minutesText(page.history.spanMs()).replace("the", "The"));
  const hovered = page.hoveredAt === null ? null : page.history.nearest(page.hoveredAt);
  PLOTS.forEach(({ name, write, read, note: noteOn }, index) => {
    const tile = page.tiles[index];
    tile.draw(page.history, at, write, hovered?.at ?? null);
    setText(tile.value, write(read(page.shown)));
    const ofThen = hovered && `${write(hovered.values[name])} ${tile.unit} at ${timeText(hovered.at, at)}`;
    setText(tile.note, ofThen ?? noteOn(page.shown));
  });
}

function drawEvents() {
  const now = Date.now();
  const items = page.events.map(({ from, to, text }) => {
    const span = from === to ? timeText(to, now) : `${timeText(from, now)} to ${timeText(to, now)}`;
    return { level: "", text: `${span}: ${text}.` };
  });
  fillList(byId("events"), items);
}

function drawSections(interval) {
  const bars = [{ title: "", kind: "name" }, { title: "", kind: "bar" }, { title: "", kind: "number" }];
  const statuses = [{ title: "status", kind: "name" }, { title: "users", kind: "number" }, { title: "devices", kind: "number" }];
  fillTable(byId("statuses"), "Users and devices by status", statuses, statusRows(interval));
  fillTable(byId("classes"), "Logged-in connections by class", bars, liveRows(interval, "class"));
  const transports = liveRows(interval, "transport").filter(([, , count]) => count !== "0");
  const areMixed = transports.some(([name]) => name !== "tcp");
  fillTable(byId("transports"), "Logged-in connections by transport", bars, areMixed ? transports : []);
  setHidden(byId("transports-title"), !areMixed);
  fillTable(byId("memory"), "Memory", FACTS, memoryRows(interval));
  fillTable(byId("logins"), "Logins by outcome", countedColumns("code"), countedRows(interval, "logins", "code"), "Nobody has logged in since the start.");
  fillTable(byId("changes"), "Changes by kind", countedColumns("kind"), countedRows(interval, "changes_by_kind", "kind"), "Nothing has changed since the start.");
  fillTable(byId("callbacks"), "Callbacks", FACTS, callbackRows(interval), "None since the start.");
  fillTable(byId("work"), "Registry and queries", FACTS, workRows(interval));
  const certificates = certificateRows(interval);
  fillTable(byId("certificates"), "Certificates", CERTIFICATE_COLUMNS, certificates);
  setHidden(byId("certificates-card"), certificates.length === 0);
  fillTable(byId("shards"), "Shards", SHARD_COLUMNS, shardRows(interval));
  fillTable(byId("refused"), "Refused, closed and held up", countedColumns("what"), refusalRows(interval), "Nothing since the start.");
}

function askForToken(fault) {
  setState("waiting", "Token needed");
  page.user = null;
  setHidden(byId("user"), true);
  setHidden(byId("numbers"), true);
  setHidden(byId("token-form"), false);
  setText(byId("token-fault"), fault);
  byId("token").focus();
}

function keepToken(token) {
  page.token = token;
  if (token === null) sessionStorage.removeItem(TOKEN_KEY);
  else sessionStorage.setItem(TOKEN_KEY, token);
}

/** Shows the user that was searched for. */
async function findUser(name) {
  page.user = { name, change: null };
  setText(byId("user-name"), visibleText(name));
  setText(byId("user-said"), "…");
  setHidden(byId("user-found"), true);
  setHidden(byId("user"), false);
  try {
    await refreshUser();
  } catch (fault) {
    if (!(fault instanceof Refusal || fault instanceof NoAnswer)) throw fault;
  }
}

/** Reads what is known of the user, and its changes if there are newer ones. */
async function refreshUser() {
  const user = page.user;
  try {
    const path = userPath(user.name);
    if (path === null) throw new Refusal(400, "no browser can ask for this UserID: use “holdfast status” in a terminal", 0);
    const known = JSON.parse(await ask(path));
    const changes = user.change === known.change ? null : await latestChanges(path, known.change);
    // Meanwhile another may be looked for.
    if (page.user !== user) return;
    user.change = known.change;
    if (changes !== null) user.changes = changes;
    drawUser(user, known);
  } catch (fault) {
    if (fault instanceof Refusal && fault.status !== 401) {
      if (page.user === user) drawNoUser(user, fault);
    } else throw fault;
  }
}

/** The newest changes; a text if they cannot be had. */
async function latestChanges(path, change) {
  const read = async (after) => {
    const lines = (await ask(`${path}/changes?after=${after}&limit=${CHANGES_SHOWN}`)).split("\n");
    return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
  };
  try {
    return await read(Math.max(change - CHANGES_SHOWN, 0));
  } catch (fault) {
    if (fault instanceof Refusal && fault.status !== 401) return `They cannot be read: ${fault.message}.`;
    throw fault;
  }
}

function drawUser({ changes }, known) {
  const now = gatewayNow();
  setText(byId("user-said"), userText(known, now));
  setHidden(byId("user-found"), false);
  fillTable(byId("devices"), "Devices", DEVICE_COLUMNS, deviceRows(known.devices, now), "No device has a session.");
  const isRead = Array.isArray(changes);
  const empty = isRead ? "None are kept." : changes;
  fillTable(byId("user-changes"), "Latest changes", CHANGE_COLUMNS, isRead ? changeRows(changes, now) : [], empty);
}

function drawNoUser({ name }, fault) {
  const spaces = name === name.trim() ? "" : " It was asked for with the spaces at its ends.";
  const texts = { 400: `Not found: ${fault.message}.`, 404: `There is no such account.${spaces}` };
  setText(byId("user-said"), texts[fault.status] ?? `It cannot be told (${fault.status}): ${fault.message}.`);
  setHidden(byId("user-found"), true);
}

function listen() {
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = byId("token").value.trim();
    if (!/^[\x20-\x7e]+$/.test(token)) return setText(byId("token-fault"), "A token has only letters, digits and signs of ASCII.");
    byId("token").value = "";
    keepToken(token);
    turn();
  });
  byId("forget").addEventListener("click", () => {
    clearTimeout(page.timer);
    keepToken(null);
    // What was shown goes, too.
    location.reload();
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    // Spaces may be part of a UserID.
    findUser(byId("user-id").value);
  });
  byId("close-user").addEventListener("click", () => {
    page.user = null;
    setHidden(byId("user"), true);
    byId("user-id").focus();
  });
  byId("plots").addEventListener("pointermove", (event) => {
    const frame = event.target.closest(".plot")?.getBoundingClientRect();
    page.hoveredAt = frame && page.shown ? page.shown.now.at - page.history.spanMs() * (1 - (event.clientX - frame.left) / frame.width) : null;
    drawPlots();
  });
  byId("plots").addEventListener("pointerleave", () => {
    page.hoveredAt = null;
    drawPlots();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && page.dueAt !== null) turn();
  });
}

byId("plots").append(...page.tiles.map(({ root }) => root));
listen();
turn();
