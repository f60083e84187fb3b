// What the metrics say, and how it is written: samples, rates, percentiles, numbers for people. Asks nobody, draws nothing.

const MINUTE_MS = 60_000;

/** What the HTTP server answers `/metrics` with, at one moment. `at` is in ms of this browser's clock. */
class Sample {
  constructor(at, text) {
    this.at = at;
    this.values = new Map();
    this.families = new Map();
    this.help = new Map();
    for (const line of text.split("\n")) {
      const help = /^# HELP (\S+) (.*)$/.exec(line);
      if (help) this.help.set(help[1], help[2]);
      const end = line.lastIndexOf(" ");
      if (end > 0 && !line.startsWith("#")) this.take(line.slice(0, end), Number(line.slice(end + 1)));
    }
  }

  take(series, value) {
    if (Number.isNaN(value)) return;
    this.values.set(series, value);
    const brace = series.indexOf("{");
    if (brace < 0) return;
    const family = series.slice(0, brace);
    const labels = new Map();
    for (const [, name, text] of series.slice(brace).matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels.set(name, text);
    if (!this.families.has(family)) this.families.set(family, []);
    this.families.get(family).push({ series, labels, value });
  }

  has(series) {
    return this.values.has(series);
  }

  value(series) {
    return this.values.get(series) ?? 0;
  }

  /** All series of a family with labels. */
  family(name) {
    return this.families.get(name) ?? [];
  }

  /** The number of a shard; `null` stands for all shards together. */
  static series(name, shard) {
    return shard === null ? `holdfast_${name}` : `holdfast_shard_${name}{shard="${shard}"}`;
  }

  shards() {
    const numbers = this.family("holdfast_shard_turns_total").map(({ labels }) => Number(labels.get("shard")));
    return numbers.sort((one, other) => one - other);
  }

  /** Amounts of a family, summed by one of its labels, in the order in which they come. */
  by(family, label) {
    const sums = new Map();
    for (const { labels, value } of this.family(`holdfast_${family}`)) {
      const name = labels.get(label) ?? "";
      sums.set(name, (sums.get(name) ?? 0) + value);
    }
    return sums;
  }
}

/** What happened between two samples of one process. */
class Interval {
  constructor(before, now) {
    this.before = before;
    this.now = now;
    this.seconds = Math.max(now.at - before.at, 1) / 1000;
  }

  /** By how much a counter grew. One that fell began anew. */
  grown(series) {
    const [before, now] = [this.before.value(series), this.now.value(series)];
    return now < before ? now : now - before;
  }

  /** A second. */
  rate(series) {
    return this.grown(series) / this.seconds;
  }

  /** All series of a family together, a second; of those that `chosen` takes. */
  rateOf(family, chosen = () => true) {
    const these = this.now.family(`holdfast_${family}`).filter(({ labels }) => chosen(labels));
    return these.reduce((sum, { series }) => sum + this.rate(series), 0);
  }

  /** What so many of a hundred took at most, in seconds: `null` if there were none, and Infinity if it is over all bounds. */
  percentile(family, percent, shard = null) {
    const buckets = this.now.family(`${family}_bucket`)
      .filter(({ labels }) => shard === null || labels.get("shard") === String(shard))
      .map(({ series, labels }) => ({
        bound: labels.get("le") === "+Inf" ? Infinity : Number(labels.get("le")),
        count: this.grown(series),
      }))
      .sort((one, other) => one.bound - other.bound);
    const all = buckets.at(-1)?.count ?? 0;
    if (all < 1) return null;
    return buckets.find(({ count }) => count >= (all * percent) / 100).bound;
  }
}

/** Points of the last minutes, by the names of their plots. A point of `null` is a gap. */
class History {
  constructor(windowMs) {
    this.windowMs = windowMs;
    this.points = [];
  }

  /** Takes what the plots show at a time. */
  push(at, values) {
    this.points.push({ at, values });
    this.points = this.points.filter((point) => point.at > at - this.windowMs);
  }

  /** What the plots span: whole minutes, as many as there are points of. */
  spanMs() {
    const lastingMs = this.points.length > 0 ? this.points.at(-1).at - this.points[0].at : 0;
    return Math.min(Math.max(Math.ceil(lastingMs / MINUTE_MS), 1) * MINUTE_MS, this.windowMs);
  }

  /** Nothing is known from here on. */
  gap(at) {
    if (this.points.at(-1)?.values) this.push(at, null);
  }

  /** Lines without gaps, each of points `[at, value]`. */
  lines(name) {
    const lines = [[]];
    for (const { at, values } of this.points) {
      if (values === null) lines.push([]);
      else lines.at(-1).push([at, values[name]]);
    }
    return lines.filter((line) => line.length > 0);
  }

  /** The point that is nearest to a time, if it is one of numbers. */
  nearest(at) {
    const distance = (point) => Math.abs(point.at - at);
    const known = this.points.filter((point) => point.values !== null);
    return known.reduce((best, point) => (best && distance(best) <= distance(point) ? best : point), null);
  }
}

/** The span of plots in words. */
function minutesText(spanMs) {
  return spanMs <= MINUTE_MS ? "the last minute" : `the last ${spanMs / MINUTE_MS} minutes`;
}

/** The first of 1, 2, 5, 10, 20 … that is not below. */
function niceCeiling(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** For where there is little room, and the number is round. */
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact" });

function countText(value) {
  return WHOLE.format(value);
}

/** An amount of things that have a name. */
function amountText(count, name) {
  return count === 1 ? `one ${name}` : `${countText(count)} ${name}s`;
}

/** A rate, with a tenth where that says something. */
function rateText(rate) {
  if (rate === 0) return "0";
  if (rate < 0.05) return "<0.1";
  return rate >= 100 ? WHOLE.format(rate) : TENTHS.format(rate);
}

function percentText(part) {
  return `${WHOLE.format(part * 100)} %`;
}

/** In the largest unit of 1,024 that leaves at least one. */
function bytesText(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(Math.max(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), 0), units.length - 1);
  const value = bytes / 1024 ** unit;
  return `${unit === 0 || value >= 100 ? WHOLE.format(value) : TENTHS.format(value)} ${units[unit]}`;
}

/** The time of a percentile: of buckets, so an upper bound. */
function boundText(seconds) {
  if (seconds === null) return "–";
  if (seconds === Infinity) return "over all bounds";
  if (seconds < 1e-3) return `≤ ${WHOLE.format(seconds * 1e6)} µs`;
  return seconds < 1 ? `≤ ${WHOLE.format(seconds * 1e3)} ms` : `≤ ${TENTHS.format(seconds)} s`;
}

/** How long something lasts, in its two largest units. */
function spanText(seconds) {
  const whole = Math.max(Math.round(seconds), 0);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days > 0) return `${countText(days)} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

/** The time of day; with the day, unless that is today. */
function timeText(at, now) {
  const pad = (number) => String(number).padStart(2, "0");
  const day = (date) => `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const date = new Date(at);
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(pad).join(":");
  return day(date) === day(new Date(now)) ? time : `${day(date)} ${time}`;
}

/** Text that somebody else wrote, with what cannot be seen made visible: controls, and marks that turn the direction of writing. */
function visibleText(text) {
  const code = (character) => `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
  return String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, code);
}

/** The path of a user's pages; `null` for the two names that a browser takes for steps between folders. */
function userPath(user) {
  return user === "." || user === ".." ? null : `v1/users/${encodeURIComponent(user)}`;
}
