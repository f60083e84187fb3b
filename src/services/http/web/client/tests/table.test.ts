// The machine's whole table, in machine.txt: what each input leads to in each state. UPDATE=1 writes it again.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import type { Response, Verdict } from "../packets.ts";
import { type Action, ANSWER_MS, type Input, type State, alarmAt, step } from "../machine.ts";

const NOW = 1_000_000;
const HOUR = 3_600_000;
const TABLE = `${process.cwd()}/client/tests/machine.txt`;

const FIRST: State = {
  phase: { at: "new" },
  identity: { userId: "alice", platform: "Web", sdkVersion: "", appVersion: "", takesMessages: true },
  instance: 7n,
  session: 0n,
  userSig: "sig",
  canRenew: true,
  background: false,
  backoffMs: 1_000,
  notBefore: 0,
  attempt: 1,
  logoutBy: null,
  scheme: "wss:",
  home: null,
  redirects: 0,
};
const HOME = "wss://two.example/";
const KNOWN = { ...FIRST, session: 5n };
const IDLE = { at: "online", intervalMs: 120_000, timeoutMs: 400_000, sentAt: NOW, answerBy: null } as const;
const LOGIN = { at: "loggingIn", until: NOW + ANSWER_MS, saidBackground: false } as const;

const STATES: [string, State][] = [
  ["new", FIRST],
  ["signing", { ...FIRST, userSig: null, phase: { at: "signing", until: NOW + ANSWER_MS } }],
  ["connecting", { ...FIRST, phase: { at: "connecting", until: NOW + ANSWER_MS } }],
  ["connecting, with a session", { ...KNOWN, phase: { at: "connecting", until: NOW + ANSWER_MS } }],
  ["connecting, logging out", { ...KNOWN, phase: { at: "connecting", until: NOW + ANSWER_MS }, logoutBy: NOW + 5_000 }],
  ["logging in", { ...KNOWN, phase: LOGIN }],
  ["logging in, gone to the background since, who cannot renew", { ...KNOWN, background: true, canRenew: false, phase: LOGIN }],
  ["connecting, to the user's node", { ...KNOWN, home: HOME, redirects: 1, phase: { at: "connecting", until: NOW + ANSWER_MS } }],
  ["logging in, at the user's node", { ...KNOWN, home: HOME, redirects: 1, phase: LOGIN }],
  ["logging in, sent on three times", { ...KNOWN, home: HOME, redirects: 3, phase: LOGIN }],
  ["online, at the user's node", { ...KNOWN, home: HOME, phase: IDLE }],
  ["online", { ...KNOWN, phase: IDLE }],
  ["online, a heartbeat ago", { ...KNOWN, phase: { ...IDLE, answerBy: NOW + ANSWER_MS } }],
  ["online with a short interval, a heartbeat ago", { ...KNOWN, phase: { ...IDLE, intervalMs: 4_000, answerBy: NOW + 9_000 } }],
  ["online, logging out", { ...KNOWN, phase: IDLE, logoutBy: NOW + ANSWER_MS }],
  ["waiting", { ...KNOWN, phase: { at: "waiting", until: NOW + 800 } }],
  ["waiting, because the gateway wants it", { ...KNOWN, notBefore: NOW + 2_000, phase: { at: "waiting", until: NOW + 2_000 } }],
  ["waiting, for a new UserSig", { ...KNOWN, userSig: null, phase: { at: "waiting", until: NOW + 800 } }],
  ["waiting, logging out", { ...KNOWN, phase: { at: "waiting", until: NOW + 30_000 }, logoutBy: NOW + ANSWER_MS }],
  ["away", { ...KNOWN, phase: { at: "away" } }],
  ["stopped", { ...FIRST, phase: { at: "stopped" } }],
  ["stopped, with a session", { ...KNOWN, phase: { at: "stopped" } }],
];

const verdict = (code: number, next: Verdict["next"], retryAfterMs = 0): Verdict => ({ code, text: "…", retryAfterMs, next });
const answer = (verdict: Verdict, session: bigint, winner: "iPhone" | null = null, address = ""): Response => ({
  kind: "loginAnswer",
  verdict,
  session,
  heartbeatIntervalMs: 120_000,
  heartbeatTimeoutMs: 400_000,
  forcedOff: [],
  winner,
  address,
});
const received = (packet: Response): Input => ({ is: "received", packet });
const OK = verdict(0, "logIn");

/** Each with how long after NOW it comes; "due": when the machine wants its alarm. */
const INPUTS: [string, Input, number | "due"][] = [
  ["start", { is: "start" }, 0],
  ["signed", { is: "signed", userSig: "new" }, 0],
  ["signed: none", { is: "signed", userSig: null }, 0],
  ["not signed", { is: "notSigned", text: "…" }, 0],
  ["opened", { is: "opened" }, 0],
  ["unable", { is: "unable", text: "…" }, 0],
  ["lost", { is: "lost", text: "…" }, 0],
  ["LoginAnswer: OK, same session", received(answer(OK, 5n)), 0],
  ["LoginAnswer: OK, session 6", received(answer(OK, 6n)), 0],
  ["LoginAnswer: RETRY", received(answer(verdict(201, "retry", 2_000), 0n)), 0],
  ["LoginAnswer: ELSEWHERE", received(answer(verdict(207, "retry"), 0n, null, "wss://three.example")), 0],
  ["LoginAnswer: ELSEWHERE, without an address", received(answer(verdict(207, "retry", 2_000), 0n)), 0],
  ["LoginAnswer: ELSEWHERE, without TLS", received(answer(verdict(207, "retry"), 0n, null, "ws://three.example/")), 0],
  ["LoginAnswer: RENEW_USERSIG", received(answer(verdict(70001, "renewUserSig"), 0n)), 0],
  ["LoginAnswer: LOG_IN_AFRESH", received(answer(verdict(301, "logIn"), 0n)), 0],
  ["LoginAnswer: SESSION_FORCED_OFF", received(answer(verdict(302, "logIn"), 0n, "iPhone")), 0],
  ["LoginAnswer: STOP", received(answer(verdict(305, "stop"), 0n)), 0],
  ["HeartbeatAnswer", received({ kind: "heartbeatAnswer" }), 0],
  ["Message", received({ kind: "message", content: { id: 9n, from: "", kind: "order", body: new Uint8Array() }, wantsAck: true }), 0],
  ["LogoutAnswer", received({ kind: "logoutAnswer" }), 0],
  ["ForceOffline", received({ kind: "forceOffline", verdict: verdict(302, "logIn"), winner: "iPhone" }), 0],
  ["ForceOffline: RETRY", received({ kind: "forceOffline", verdict: verdict(399, "retry"), winner: null }), 0],
  ["GoAway: RETRY", received({ kind: "goAway", verdict: verdict(203, "retry", 2_000), address: "" }), 0],
  ["GoAway: ELSEWHERE", received({ kind: "goAway", verdict: verdict(207, "retry", 2_000), address: "wss://three.example/" }), 0],
  ["Error: RETRY", received({ kind: "error", verdict: verdict(204, "retry") }), 0],
  ["Error: STOP", received({ kind: "error", verdict: verdict(102, "stop") }), 0],
  ["alarm, early", { is: "alarm" }, 0],
  ["alarm, in time", { is: "alarm" }, "due"],
  ["alarm, an hour late", { is: "alarm" }, HOUR],
  ["woken", { is: "woken" }, 0],
  ["woken after 60 s", { is: "woken" }, 60_000],
  ["woken after an hour", { is: "woken" }, HOUR],
  ["network gone", { is: "networkGone" }, 0],
  ["network back", { is: "networkBack" }, 0],
  ["background", { is: "background", background: true }, 0],
  ["handled", { is: "handled", ack: { kind: "messageAck", ids: [9n], reply: new Uint8Array(), refused: false } }, 5_000],
  ["page left", { is: "left" }, 0],
  ["page returned", { is: "returned", kept: { instance: 7n, session: 5n, home: null } }, 0],
  ["page returned, the tab keeps other ones", { is: "returned", kept: { instance: 8n, session: 9n, home: "wss://three.example/" } }, 0],
  ["page returned, the tab keeps nothing", { is: "returned", kept: null }, 0],
  ["logout", { is: "logout" }, 0],
  ["close", { is: "close" }, 0],
];

const shown = (value: unknown) =>
  JSON.stringify(value, (_, value) => (typeof value === "bigint" ? `${value}` : value)).replaceAll('"', "").replaceAll(",", ", ");

function told(action: Action): string {
  if (action.do === "tell") return `${action.name} ${shown(action.event)}`;
  if (action.do === "settle") return action.answered ? "logout done" : "logout not answered";
  if (action.do === "connect") return action.to === null ? "connect" : `connect to ${action.to}`;
  if (action.do === "deliver") return `deliver ${action.message.content.id}`;
  if (action.do !== "send") return action.do;
  const { kind, ...packet } = action.packet;
  if (kind === "login") return `send login of session ${(action.packet as { session: bigint }).session}`;
  if (action.packet.kind === "messageAck") return `send ${kind} of ${shown(action.packet.ids)}`;
  return `send ${kind}${kind === "background" ? ` ${shown(packet)}` : ""}`;
}

/** What differs of the state, times as from NOW. */
function changes(before: State, after: State): string {
  const names = Object.keys(after) as (keyof State)[];
  const others = names.filter((name) => name !== "phase" && after[name] !== before[name]);
  const isTime = (name: string) => ["until", "answerBy", "sentAt", "notBefore", "logoutBy"].includes(name);
  const value = (name: string, value: unknown) => (isTime(name) && typeof value === "number" ? `now+${value - NOW}` : shown(value));
  const { at, ...data } = after.phase;
  const inside = Object.entries(data).map(([name, own]) => `${name} ${value(name, own)}`);
  return [[at, ...inside].join(" "), ...others.map((name) => `${name} = ${value(name, after[name])}`)].join("; ");
}

test("the whole table", async () => {
  const lines = ["What is not listed changes nothing.", ""];
  for (const [name, state] of STATES) {
    lines.push(`## ${name}`);
    for (const [what, input, after] of INPUTS) {
      const at = after === "due" ? alarmAt(state) : NOW + after;
      if (at === Infinity) continue;
      const next = step(state, input, at, 0.5);
      if (shown(next.state) === shown(state) && next.actions.length === 0) continue;
      lines.push([`${what} → ${changes(state, next.state)}`, ...next.actions.map(told)].join(" | "));
    }
    lines.push("");
  }
  const table = lines.join("\n");
  if (process.env.UPDATE) await writeFile(TABLE, table);
  assert.equal(table, await readFile(TABLE, "utf8"), "the table has changed: look at it, and run the tests with UPDATE=1");
});
