// What the page shows of two samples of the metrics: plots, tables, and what needs attention. Asks nobody, touches no element.

/** With fewer connections the growth of resident memory says nothing of what one of them takes. */
const CONNECTIONS_THAT_TELL = 10_000;

/** Of a shard's table of connections: from here on it is nearly full. */
const NEARLY_FULL = 0.85;

/** Any longer is worth a word, in seconds: callbacks are tried again within this time when a receiver is slow. */
const CALLBACK_AGE_MAX = 600;
const CLOCK_BEHIND_MAX = 5;

/** With less time left a certificate is worth a word, and then a loud one, in seconds: as the alerts have it. */
const CERTIFICATE_SOON = 7 * 86_400;
const CERTIFICATE_DUE = 86_400;

/** A number of the gateway by its name in the metrics. */
function amount({ now }, name) {
  return now.value(`holdfast_${name}`);
}

function perSecond(interval, name) {
  return interval.rate(`holdfast_${name}_total`);
}

/** Whether any callback was sent or waits. Without a receiver there are none, and none of these numbers without a store. */
function hasCallbacks(interval) {
  return ["delivered_total", "failed_total", "late_now", "dead_now"].some((name) => amount(interval, `callbacks_${name}`) > 0);
}

function loggedIn({ now }) {
  return [...now.by("connections_live_now", "class").values()].reduce((sum, count) => sum + count, 0);
}

/** The certificates of listeners, first the one that expires first. */
function certificates({ now }) {
  const all = now.family("holdfast_tls_certificate_expires_seconds").map(({ labels, value }) => ({
    name: visibleText(labels.get("name") || "no host"),
    entry: `${labels.get("listener")} ${labels.get("entry")}`,
    left: value,
    leftText: value < 0 ? "has expired" : `expires in ${spanText(value)}`,
    level: value < CERTIFICATE_DUE ? "bad" : value < CERTIFICATE_SOON ? "warn" : "",
  }));
  return all.sort((one, other) => one.left - other.left);
}

function slowNote(verb, seconds) {
  return seconds === null ? `none ${verb}` : `99 % ${verb} in ${boundText(seconds)}`;
}

/** The plots: what is drawn, and a note on it. */
const PLOTS = [
  {
    name: "users", title: "Users Online", unit: "", write: countText,
    read: (interval) => amount(interval, "users_online_now"),
    note: (interval) => `${countText(amount(interval, "users_push_online_now"))} PushOnline`,
  },
  {
    name: "connections", title: "Connections", unit: "", write: countText,
    read: (interval) => amount(interval, "connections_now"),
    note: (interval) => `${countText(Math.max(amount(interval, "connections_now") - loggedIn(interval), 0))} not logged in`,
  },
  {
    name: "logins", title: "Logins", unit: "per s", write: rateText,
    read: (interval) => interval.rateOf("logins_total"),
    note: (interval) => `${rateText(interval.rateOf("logins_total", (labels) => labels.get("code") !== "OK"))} per s refused`,
  },
  {
    name: "heartbeats", title: "Heartbeats", unit: "per s", write: rateText,
    read: (interval) => perSecond(interval, "heartbeats"),
    note: (interval) => `${rateText(perSecond(interval, "time_outs"))} time-outs per s`,
  },
  {
    name: "changes", title: "Changes", unit: "per s", write: rateText,
    read: (interval) => perSecond(interval, "changes"),
    note: (interval) => slowNote("recorded", interval.percentile("holdfast_registry_commit_seconds", 99)),
  },
  {
    name: "callbacks", title: "Callbacks delivered", unit: "per s", write: rateText,
    read: (interval) => perSecond(interval, "callbacks_delivered"),
    note: (interval) => hasCallbacks(interval) ? `${rateText(perSecond(interval, "callbacks_failed"))} per s failed` : "none since the start",
  },
  {
    name: "queries", title: "Status queries", unit: "per s", write: rateText,
    read: (interval) => interval.rate("holdfast_http_query_seconds_count"),
    note: (interval) => slowNote("answered", interval.percentile("holdfast_http_query_seconds", 99)),
  },
  {
    name: "cpu", title: "CPU", unit: "% of one core", write: countText,
    read: (interval) => interval.rate("process_cpu_seconds_total") * 100,
    note: ({ now }) => `${bytesText(now.value("process_resident_memory_bytes"))} resident`,
  },
];

/** What an operator should look at, the worst first. */
function attention(interval, unreadyText) {
  const { now } = interval;
  const of = (name) => amount(interval, name);
  const total = (name) => of(`${name}_total`);
  const items = [];
  const say = (level, isSo, text) => isSo && items.push({ level, text });
  const sayOfCertificates = (which) => certificates(interval).forEach(({ name, entry, leftText, level }) =>
    say(level, level === which, `The certificate for ${name} (${entry}) ${leftText}. Renew it, then “holdfast reload”.`));
  say("bad", of("ready_now") === 0, `Not ready: ${visibleText(unreadyText || "/readyz says why")}.`);
  say("bad", of("registry_failing_now") > 0, "The registry cannot record changes: logins are refused. Look at the disk that has registry.path.");
  say("bad", of("commits_retrying_now") > 0, `What was decided for ${amountText(of("commits_retrying_now"), "user")} could not be recorded, and is tried again.`);
  say("bad", interval.grown("holdfast_accept_pauses_total") + interval.grown("holdfast_accepts_failed_total") > 0, "There is no room for new connections. The log says whether a shard is full, or the system.");
  say("bad", total("store_damaged_reads") + total("store_damaged_lost_changes") > 0, "The store is damaged. The log names the files; see “Damage” in the manual.");
  say("bad", of("callback_receiver_down_now") > 0, "The receiver of callbacks is down. Callbacks wait on disk until it answers.");
  sayOfCertificates("bad");
  sayOfCertificates("warn");
  say("warn", of("callbacks_oldest_age_seconds") > CALLBACK_AGE_MAX, `The oldest callback has been waiting for ${spanText(of("callbacks_oldest_age_seconds"))}.`);
  say("warn", of("callbacks_dead_now") > 0, `Given up: ${amountText(of("callbacks_dead_now"), "callback")}. “holdfast callbacks list” shows why.`);
  for (const shard of now.shards()) {
    const part = tablePart(now, shard);
    say("warn", part > NEARLY_FULL, `Shard ${shard} has ${percentText(part)} of the connections that it can hold.`);
  }
  say("warn", of("clock_behind_records_seconds") > CLOCK_BEHIND_MAX, `The host's clock is ${spanText(of("clock_behind_records_seconds"))} behind the records.`);
  say("warn", interval.grown("holdfast_log_lines_dropped_total") > 0, "Lines of the log are dropped: whoever reads it is too slow.");
  say("warn", now.family("holdfast_build_info").some(({ labels }) => labels.get("profile") === "debug"), "This is a debug build: its speed and its memory tell nothing.");
  return items.length > 0 ? items : [{ level: "good", text: "Nothing needs attention." }];
}

function tablePart(now, shard) {
  return now.value(Sample.series("slots_taken_now", shard)) / Math.max(now.value(Sample.series("slots_now", shard)), 1);
}

const FACTS = [{ title: "", kind: "name" }, { title: "", kind: "number" }];

function countedColumns(title) {
  return [{ title, kind: "name" }, { title: "per s", kind: "number" }, { title: "in all", kind: "number" }];
}

function statusRows(interval) {
  return [["Online", "online"], ["PushOnline", "push_online"]].map(([status, name]) => [
    status, countText(amount(interval, `users_${name}_now`)), countText(amount(interval, `devices_${name}_now`)),
  ]);
}

/** A bar and a number for each value of a label of the connections that are logged in. */
function liveRows({ now }, label) {
  const counts = [...now.by("connections_live_now", label)];
  const all = counts.reduce((sum, [, count]) => sum + count, 0);
  return counts.map(([name, count]) => [name, { part: all > 0 ? count / all : 0 }, countText(count)]);
}

/** The values of a label that were ever counted, the most frequent first. */
function countedRows(interval, family, label) {
  const counts = [...interval.now.by(`${family}_total`, label)].filter(([, count]) => count > 0);
  counts.sort(([one, some], [other, more]) => more - some || one.localeCompare(other));
  const rate = (name) => interval.rateOf(`${family}_total`, (labels) => labels.get(label) === name);
  return counts.map(([name, count]) => [name, rateText(rate(name)), countText(count)]);
}

function callbackRows(interval) {
  if (!hasCallbacks(interval)) return [];
  const of = (name) => amount(interval, name);
  const warned = (count) => ({ text: countText(count), level: count > 0 ? "warn" : "" });
  const isDown = of("callback_receiver_down_now") > 0;
  return [
    ["Receiver", { text: isDown ? "down" : "not down", level: isDown ? "bad" : "" }],
    ["Delivered per s", rateText(perSecond(interval, "callbacks_delivered"))],
    ["Failed per s", rateText(perSecond(interval, "callbacks_failed"))],
    ["Under way", countText(of("callbacks_in_flight_now"))],
    ["Changes not looked at yet", countText(of("callbacks_behind_now"))],
    ["Late", warned(of("callbacks_late_now"))],
    ["Given up", warned(of("callbacks_dead_now"))],
    ["Oldest that waits", of("callbacks_oldest_age_seconds") > 0 ? `${spanText(of("callbacks_oldest_age_seconds"))} old` : "–"],
  ];
}

function workRows(interval) {
  const both = (family) => [50, 99].map((percent) => boundText(interval.percentile(family, percent)));
  const [commit, slowCommit] = both("holdfast_registry_commit_seconds");
  const [query, slowQuery] = both("holdfast_http_query_seconds");
  return [
    ["Commits per s", rateText(perSecond(interval, "registry_commits"))],
    ["A commit, median", commit],
    ["A commit, 99 %", slowCommit],
    ["Requests that wait for it", countText(amount(interval, "registry_requests_waiting_now"))],
    ["A query, median", query],
    ["A query, 99 %", slowQuery],
    ["Requests open", countText(amount(interval, "http_requests_open_now"))],
  ];
}

function memoryRows(interval) {
  const { now } = interval;
  const part = (name) => now.value(`holdfast_bytes_per_connection{part="${name}"}`);
  const tells = amount(interval, "connections_now") >= CONNECTIONS_THAT_TELL;
  const few = { text: "too few to tell", title: `It is measured from ${countText(CONNECTIONS_THAT_TELL)} connections on.`, level: "muted" };
  return [
    ["A connection, in the gateway", tells ? `${countText(part("user"))} B` : few],
    ["A connection, in the kernel", { text: `${countText(part("kernel"))} B`, title: "A constant, measured before." }],
    ["A connection, for TLS", part("tls") > 0 ? `${countText(part("tls"))} B` : "–"],
    ["The registry's records", bytesText(amount(interval, "registry_bytes_now"))],
    ["Resident, all together", bytesText(now.value("process_resident_memory_bytes"))],
    ["Open descriptors", `${countText(now.value("process_open_fds"))} of ${countText(now.value("process_max_fds"))}`],
  ];
}

const CERTIFICATE_COLUMNS = [{ title: "", kind: "name" }, { title: "" }, { title: "", kind: "number" }];

function certificateRows(interval) {
  return certificates(interval).map(({ name, entry, left, level }) => {
    const text = left < 0 ? "expired" : spanText(left);
    return [name, { text: entry, title: "The listener, and the entry among its certificates.", level: "muted" }, { text, level }];
  });
}

const SHARD_COLUMNS = [
  { title: "shard", kind: "name" },
  ...["connections", "table", "users", "heartbeats/s", "logins/s", "changes/s", "queries/s", "turns/s", "turn, median", "turn, 99 %"]
    .map((title) => ({ title, kind: "number" })),
];

/** All shards together, then each. */
function shardRows(interval) {
  const { now } = interval;
  return [null, ...now.shards()].map((shard) => {
    const value = (name) => now.value(Sample.series(name, shard));
    const rate = (name) => rateText(interval.rate(Sample.series(`${name}_total`, shard)));
    const ofShard = (labels) => shard === null || labels.get("shard") === String(shard);
    const logins = interval.rateOf(shard === null ? "logins_total" : "shard_logins_total", ofShard);
    const turns = shard === null ? "holdfast_turn_seconds" : "holdfast_shard_turn_seconds";
    const part = tablePart(now, shard);
    return [
      shard === null ? "all" : String(shard),
      countText(value("connections_now")),
      { text: percentText(part), level: part > NEARLY_FULL ? "warn" : "" },
      countText(value("users_now")),
      rate("heartbeats"), rateText(logins), rate("changes"), rate("queries"), rate("turns"),
      ...[50, 99].map((percent) => boundText(interval.percentile(turns, percent, shard))),
    ];
  });
}

/** Counters of what went wrong or was sent away. What each of them counts, the metrics say themselves. */
const REFUSALS = [
  "address_refusals", "user_refusals", "logins_busy", "login_deadlines", "frames_too_large", "frames_malformed", "packets_before_login",
  "second_logins", "eager_senders", "slow_readers", "transport_errors", "commits_failed", "kicks_refused", "accept_pauses", "accepts_failed",
  "buffer_shortages", "completions_overflowed", "moves_refused", "http_refused", "http_requests_full", "http_requests_late",
  "http_accept_failures", "http_connections_gave_way", "log_lines_dropped",
];

function refusalRows(interval) {
  const { now } = interval;
  const counted = (family) => {
    const labelled = now.family(family).map(({ series, labels }) => [series, ` (${[...labels.values()].join(", ")})`]);
    return labelled.length > 0 ? labelled : [[family, ""]];
  };
  return REFUSALS.map((name) => `holdfast_${name}_total`).flatMap((family) =>
    counted(family)
      .filter(([series]) => now.value(series) > 0)
      .map(([series, labels]) => [
        { text: (now.help.get(family) ?? family).replace(/\.$/, "") + labels, title: family },
        rateText(interval.rate(series)),
        countText(now.value(series)),
      ]));
}
