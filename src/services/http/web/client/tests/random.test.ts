// The machine against a world of chance: a gateway, a network, a page and a person, by a model's clock. Each round can be run again
// by its seed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Action, type Input, REDIRECTS_MAX, type State, alarmAt, step } from "../machine.ts";
import type { LoginAnswer, Response, Verdict } from "../packets.ts";

const ROUNDS = 400;
const STEPS = 400;
const INTERVAL_MS = 120_000;
const TIMEOUT_MS = 400_000;
const NO_BYTES = new Uint8Array();

/** Numbers of chance from 0 up to 1 (mulberry32). */
function chanceOf(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class World {
  now = 0;
  state: State;
  /** What the gateway knows: the device's session, 0 if it has none, and how many there have been. */
  session = 0n;
  sessions = 0n;
  socket: "none" | "opening" | "open" | "loggedIn" = "none";
  sentAt = 0;
  /** When the gateway allows the next attempt. */
  notBefore = 0;
  isOver = false;
  isForcedOff = false;
  /** Connections since it was online, or waited. */
  inARow = 0;
  asks = 0;
  wishes = 0;
  /** What the app has not taken yet. */
  readonly delivered: bigint[] = [];
  acks = 0;

  constructor(readonly chance: () => number) {
    const identity = { userId: "alice", platform: "Web", sdkVersion: "", appVersion: "", takesMessages: true } as const;
    this.state = {
      ...{ identity, phase: { at: "new" }, instance: 7n, session: 0n, userSig: chance() < 0.5 ? "sig" : null, canRenew: true },
      ...{ background: false, backoffMs: 500, notBefore: 0, attempt: 0, logoutBy: null, scheme: "wss:", home: null, redirects: 0 },
    };
    this.take({ is: "start" });
  }

  take(input: Input) {
    const { state, actions } = step(this.state, input, this.now, this.chance());
    this.state = state;
    actions.forEach((action) => this.carryOut(action));
    const { at } = state.phase;
    assert.equal(at === "stopped", this.isOver, "stopped is told once, when it is so");
    assert.equal(this.socket !== "none", ["connecting", "loggingIn", "online"].includes(at), `a socket while ${at}`);
    if (!["away", "stopped", "new"].includes(at)) assert(alarmAt(state) < Infinity, `nothing is awaited while ${at}`);
  }

  carryOut(action: Action) {
    assert(!this.isOver || action.do === "settle", `${action.do} after the end`);
    switch (action.do) {
      case "sign":
        return void this.asks++;
      case "connect":
        assert.equal(this.socket, "none", "one connection at a time");
        assert(this.now >= this.notBefore, "not before the gateway allows it");
        assert(!this.isForcedOff, "never after it was forced off");
        assert(action.to === null || /^wss:..(two|three)\.example.$/.test(action.to), `it goes to ${action.to}`);
        assert(++this.inARow <= 1 + REDIRECTS_MAX, "it is not sent in circles");
        return void (this.socket = "opening");
      case "disconnect":
        return void (this.socket = "none");
      case "send":
        return this.receive(action.packet);
      case "settle":
        return void (this.wishes = 0);
      case "deliver":
        assert.equal(this.socket, "loggedIn", "a message");
        return void this.delivered.push(action.message.content.id);
      case "tell":
        this.inARow = 0;
        if (action.name === "stopped") this.isOver = true;
        if (action.name === "forcedOffline") this.isForcedOff = true;
        if (action.name === "reconnecting") {
          const { inMs } = action.event;
          const hint = Math.max(this.notBefore - this.now, 0);
          assert(inMs >= hint && inMs <= Math.max(45_000, hint), `comes back in ${inMs} ms, was told ${hint}`);
        }
    }
  }

  /** What the terminal sends. */
  receive(packet: { kind: string; session?: bigint; userSig?: string }) {
    this.sentAt = this.now;
    if (packet.kind === "messageAck") this.acks++;
    assert.equal(this.socket, packet.kind === "login" ? "open" : "loggedIn", `what the socket is, at a ${packet.kind}`);
    if (packet.kind !== "login") return;
    assert(packet.userSig, "a login has a UserSig");
    assert.equal(packet.session, this.state.session);
    if (packet.session === 0n && this.sessions > 0n) assert.equal(this.session, 0n, "a session that is known is resumed");
    this.socket = "loggedIn";
  }

  verdict(code: number, next: Verdict["next"]): Verdict {
    const retryAfterMs = next === "retry" && this.chance() < 0.5 ? Math.floor(this.chance() * 60_000) : 0;
    this.notBefore = this.now + retryAfterMs;
    return { code, text: "…", retryAfterMs, next };
  }

  /** A word of the gateway that may come now. */
  word(): Response {
    const isLogin = this.state.phase.at === "loggingIn";
    const pick = this.chance();
    if (!isLogin) {
      if (pick < 0.3) return { kind: "message", content: { id: BigInt(this.now), from: "", kind: "x", body: NO_BYTES }, wantsAck: true };
      if (pick < 0.88) return { kind: "heartbeatAnswer" };
      if (pick < 0.89) return { kind: "forceOffline", verdict: this.verdict(302, "logIn"), winner: "Mac" };
      if (pick < 0.93) return { kind: "goAway", verdict: this.verdict(203, "retry"), address: "" };
      if (pick < 0.95) return { kind: "goAway", verdict: this.verdict(207, "retry"), address: this.address() };
      return { kind: "error", verdict: this.verdict(204, "retry") };
    }
    const refused = (code: number, next: Verdict["next"]) => this.answer(this.verdict(code, next));
    if (pick < 0.1) return refused(201, "retry");
    if (pick < 0.2) return refused(70001, "renewUserSig");
    if (pick < 0.21) return refused(302, "logIn");
    if (pick < 0.22) return refused(305, "stop");
    if (pick < 0.5) {
      this.notBefore = this.now;
      const verdict = { code: 207, text: "…", retryAfterMs: 0, next: "retry" } as const;
      return { ...this.answer(verdict), address: this.address() };
    }
    // Kept, or another one.
    if (this.state.session === 0n || this.chance() < 0.5) this.session = ++this.sessions;
    return this.answer(this.verdict(0, "logIn"));
  }

  address(): string {
    const addresses = ["wss://two.example/", "wss://three.example/", "ws://four.example/", "wss://", ""];
    return addresses[Math.floor(this.chance() * addresses.length)]!;
  }

  answer(verdict: Verdict): LoginAnswer {
    const times = { heartbeatIntervalMs: INTERVAL_MS, heartbeatTimeoutMs: TIMEOUT_MS };
    return { kind: "loginAnswer", verdict, session: this.session, ...times, forcedOff: [], winner: null, address: "" };
  }

  /** Something that may happen now. */
  happen() {
    const pick = this.chance();
    const { at } = this.state.phase;
    if (pick < 0.35) return this.pass(Math.max(alarmAt(this.state) - this.now, 0));
    if (pick < 0.4) return this.pass(this.chance() * 3_600_000);
    if (pick < 0.45) return this.appTakes();
    if (pick < 0.7) return this.answerAs(at);
    if (pick < 0.76) return at !== "new" && this.socket !== "none" ? this.take({ is: "lost", text: "…" }) : undefined;
    if (pick < 0.8) return this.take({ is: "networkGone" });
    if (pick < 0.84) return this.take({ is: "networkBack" });
    if (pick < 0.88) return this.take({ is: "woken" });
    if (pick < 0.92) return this.take({ is: "background", background: this.chance() < 0.5 });
    if (pick < 0.95) return this.take({ is: "left" });
    if (pick < 0.997) return this.take({ is: "returned", kept: this.state });
    if (pick < 0.998) return this.take({ is: "close" });
    this.wishes++;
    return this.take({ is: "logout" });
  }

  /** The app has taken a message, at last. */
  appTakes() {
    const [id] = this.delivered.splice(0, 1);
    if (id === undefined) return;
    const before = this.acks;
    this.take({ is: "handled", ack: { kind: "messageAck", ids: [id], reply: NO_BYTES, refused: false } });
    assert.equal(this.acks - before, this.state.phase.at === "online" ? 1 : 0, "it is acknowledged where that is heard");
  }

  answerAs(at: State["phase"]["at"]) {
    if (at === "signing") {
      return this.take(this.chance() < 0.8 ? { is: "signed", userSig: "sig" } : { is: "notSigned", text: "…" });
    }
    if (this.socket === "opening") {
      this.socket = "open";
      return this.take({ is: "opened" });
    }
    if (at === "loggingIn" || at === "online") this.take({ is: "received", packet: this.word() });
  }

  /** Time passes, and the alarm comes, at times late. */
  pass(ms: number) {
    this.now += Math.ceil(Math.min(ms, 4_000_000));
    this.take({ is: "alarm" });
  }

  /** All is well from now on, and every alarm comes in time: it is online, and stays so. */
  recover() {
    this.take({ is: "returned", kept: this.state });
    for (let turn = 0; turn < 40 && !this.isOver; turn++) {
      const { at } = this.state.phase;
      if (at === "signing") this.take({ is: "signed", userSig: "sig" });
      else if (this.socket === "opening") this.answerAs(at);
      else if (at === "loggingIn") {
        if (this.state.session === 0n) this.session = ++this.sessions;
        this.take({ is: "received", packet: this.answer({ code: 0, text: "", retryAfterMs: 0, next: "logIn" }) });
      } else {
        this.now = Math.max(this.now, alarmAt(this.state));
        if (at === "online") assert(this.now - this.sentAt <= INTERVAL_MS, "a heartbeat is due");
        this.take({ is: "alarm" });
        if (this.state.phase.at === "online") this.take({ is: "received", packet: { kind: "heartbeatAnswer" } });
      }
    }
    assert(this.isOver || this.state.phase.at === "online", `it is ${this.state.phase.at} where all is well`);
    assert.equal(this.isOver ? this.wishes : 0, 0, "each logout is settled");
  }
}

test("whatever happens, it keeps to the rules and comes back", () => {
  const ends: Record<string, number> = {};
  for (let seed = 0; seed < ROUNDS; seed++) {
    try {
      const world = new World(chanceOf(seed));
      for (let turn = 0; turn < STEPS && !world.isOver; turn++) world.happen();
      world.recover();
      const end = world.isForcedOff ? "forced off" : world.state.phase.at;
      ends[end] = (ends[end] ?? 0) + 1;
    } catch (error) {
      throw new Error(`seed ${seed}: ${error}`);
    }
  }
  assert(["forced off", "online", "stopped"].every((end) => (ends[end] ?? 0) > 10), `all ends are met: ${JSON.stringify(ends)}`);
});
