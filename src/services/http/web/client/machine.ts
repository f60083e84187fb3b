// What a terminal does, as a pure machine: what happened and when, in; the next state and what is to be done, out. It knows no
// socket, no timer and no clock, and is the one place that decides. Times are milliseconds of a clock that never goes back.
//
//   start ──▶ signing ──▶ connecting ──▶ loggingIn ──▶ online ──▶ stopped
//                ▲             ▲              │           │
//                └── waiting ──┴──────────────┴───────────┘      away: the page is kept by its browser, and not shown

import type { ForcedOffline, Online, Platform, Reconnecting, Stopped } from "../client.d.ts";
import type { Login, MessageAck, MessagePacket, Request, Response, Verdict } from "./packets.ts";

/** How long a connection, and each answer, may take. */
export const ANSWER_MS = 10_000;
/** How long the app may take to give a UserSig. */
export const USERSIG_MS = 30_000;
/** The first wait after a lost connection, doubled each time, and the longest. */
export const BACKOFF_MS_MIN = 500;
export const BACKOFF_MS_MAX = 30_000;
/** Codes of a session that was ended by others. */
const FORCED_OFF = [302, 303];
/** Another node of the cluster has the user. */
const ELSEWHERE = 207;
/** How often it is sent on without a login in between. */
export const REDIRECTS_MAX = 3;
/** Of an address that it is sent to. */
const ADDRESS_CHARACTERS_MAX = 512;

/** A variant owns exactly the data of its moment. */
export type Phase =
  | { at: "new" }
  /** The app is asked for a UserSig. */
  | { at: "signing"; until: number }
  | { at: "connecting"; until: number }
  | { at: "loggingIn"; until: number; saidBackground: boolean }
  /** `answerBy`: when a packet has to have come, after a heartbeat. */
  | { at: "online"; intervalMs: number; timeoutMs: number; sentAt: number; answerBy: number | null }
  | { at: "waiting"; until: number }
  | { at: "away" }
  | { at: "stopped" };

/** What of a login stays the same. */
export type Identity = Omit<Login, "kind" | "userSig" | "session" | "background" | "instance">;

export interface State {
  readonly phase: Phase;
  readonly identity: Identity;
  readonly instance: bigint;
  /** 0: none. */
  readonly session: bigint;
  /** `null`: the app has to be asked. */
  readonly userSig: string | null;
  readonly canRenew: boolean;
  /** Of the first address: it is never left. */
  readonly scheme: string;
  /** Where the user's node is, if that is known; `null`: at the first address. */
  readonly home: string | null;
  /** How often it was sent on since it was last online, or waited. */
  readonly redirects: number;
  readonly background: boolean;
  readonly backoffMs: number;
  /** The gateway wants no attempt before. */
  readonly notBefore: number;
  readonly attempt: number;
  /** Until when a logout is tried; `null` if none was asked for. */
  readonly logoutBy: number | null;
}

/** What happened. */
export type Input =
  | { is: "start" | "opened" | "alarm" | "networkBack" | "networkGone" | "woken" | "left" | "logout" | "close" }
  | { is: "signed"; userSig: string | null }
  | { is: "notSigned" | "lost" | "unable"; text: string }
  | { is: "received"; packet: Response }
  | { is: "background"; background: boolean }
  /** The app has these messages, or could not take them. */
  | { is: "handled"; ack: MessageAck }
  /** The page is shown again; `kept` is what its tab keeps, `null` if another page has taken it. */
  | { is: "returned"; kept: Kept | null };

/** What of a state outlives a page. */
export type Kept = Pick<State, "instance" | "session" | "home">;

/** What is to be done, in order. */
export type Action =
  | { do: "sign" | "disconnect" }
  /** To this address; `null`: to the first one. */
  | { do: "connect"; to: string | null }
  | { do: "send"; packet: Request }
  /** To the app. */
  | { do: "deliver"; message: MessagePacket }
  /** Whether the logout that was asked for is answered. */
  | { do: "settle"; answered: boolean }
  | { do: "tell"; name: "online"; event: Online }
  | { do: "tell"; name: "forcedOffline"; event: ForcedOffline }
  | { do: "tell"; name: "reconnecting"; event: Reconnecting }
  | { do: "tell"; name: "stopped"; event: Stopped };

export interface Step {
  state: State;
  actions: Action[];
}

/** When the machine wants an alarm: the earliest of what it waits for; `Infinity` for none. */
export function alarmAt({ phase, logoutBy }: State): number {
  const logout = logoutBy ?? Infinity;
  switch (phase.at) {
    case "signing":
    case "connecting":
    case "loggingIn":
    case "waiting":
      return Math.min(phase.until, logout);
    case "online":
      return Math.min(phase.sentAt + phase.intervalMs, phase.answerBy ?? Infinity, logout);
    case "away":
      return logout;
    case "new":
    case "stopped":
      return Infinity;
  }
}

/** The next state, and what is to be done. `random` is from 0 up to 1. */
export function step(state: State, input: Input, now: number, random: number): Step {
  if (state.phase.at === "stopped") return input.is === "logout" ? settled(state, state.session === 0n) : same(state);
  switch (input.is) {
    case "start":
      return state.phase.at === "new" ? attempt(state, now) : same(state);
    case "signed":
      return state.phase.at === "signing" ? signed(state, input.userSig, now) : same(state);
    case "notSigned":
      return state.phase.at === "signing" ? wait(state, now, random, noWord(input.text)) : same(state);
    case "opened":
      return state.phase.at === "connecting" ? logIn(state, now) : same(state);
    case "received":
      return received(state, input.packet, now, random);
    case "lost":
      return isConnected(state) ? disconnected(wait(leftBy(state), now, random, noWord(input.text))) : same(state);
    case "unable":
      if (state.home !== null && isConnected(state)) return disconnected(wait(leftBy(state), now, random, noWord(input.text)));
      return stop(state, { code: 0, text: input.text, next: "nothing" });
    case "alarm":
      return due(state, now, random);
    case "woken":
      return woken(state, now, random);
    case "networkGone":
      return state.phase.at === "online" ? probe(state, now) : same(state);
    case "networkBack":
      return isConnected(state) || state.phase.at === "waiting" ? atOnce(state, now, "the network is back") : same(state);
    case "background":
      return setBackground(state, input.background, now);
    case "handled":
      return acknowledge(state, input.ack, now);
    case "left":
      // Whoever is next here logs in, as the person who logged out was told to.
      if (state.logoutBy !== null) return stop(over(state), { code: 0, text: "the page has left", next: "logIn" }, false);
      return disconnected({ state: { ...state, phase: { at: "away" } }, actions: [] });
    case "returned":
      return returned(state, input.kept, now);
    case "logout":
      return logOut(state, now);
    case "close":
      return stop(state, { code: 0, text: "closed by the app", next: "connect" });
  }
}

const same = (state: State): Step => ({ state, actions: [] });
const to = (state: State, phase: Phase, ...actions: Action[]): Step => ({ state: { ...state, phase }, actions });
const disconnected = ({ state, actions }: Step): Step => ({ state, actions: [{ do: "disconnect" }, ...actions] });
const settled = (state: State, answered: boolean): Step => ({ state, actions: [{ do: "settle", answered }] });
/** The gateway has said nothing. */
const noWord = (text: string): Verdict => ({ code: 0, text, retryAfterMs: 0, next: "retry" });
/** Who is not logged in when a connection ends begins at the first address again. */
const leftBy = (state: State): State => (state.phase.at === "online" ? state : { ...state, home: null, redirects: 0 });
const connectTo = ({ home }: State): Action => ({ do: "connect", to: home });
const isConnected = ({ phase }: State) => ["connecting", "loggingIn", "online"].includes(phase.at);

/** Connects, as soon as the gateway allows it, with a UserSig. */
function attempt(state: State, now: number): Step {
  if (now < state.notBefore) return to(state, { at: "waiting", until: state.notBefore });
  const next = { ...state, attempt: state.attempt + 1 };
  if (state.userSig === null) return to(next, { at: "signing", until: now + USERSIG_MS }, { do: "sign" });
  return to(next, { at: "connecting", until: now + ANSWER_MS }, connectTo(state));
}

function signed(state: State, userSig: string | null, now: number): Step {
  if (userSig === null) return stop(over(state), { code: 0, text: "the app's backend gives no UserSig", next: "logIn" });
  return to({ ...state, userSig }, { at: "connecting", until: now + ANSWER_MS }, connectTo(state));
}

function logIn(state: State, now: number): Step {
  const { identity, instance, session, background } = state;
  const login: Login = { kind: "login", ...identity, instance, session, background, userSig: state.userSig ?? "" };
  const actions: Action[] = [{ do: "send", packet: login }];
  if (state.logoutBy !== null) actions.push({ do: "send", packet: { kind: "logout" } });
  return to(state, { at: "loggingIn", until: now + ANSWER_MS, saidBackground: background }, ...actions);
}

function received(state: State, packet: Response, now: number, random: number): Step {
  const { phase } = state;
  if (phase.at !== "loggingIn" && phase.at !== "online") return same(state);
  switch (packet.kind) {
    case "loginAnswer": {
      if (phase.at === "online") return same(state);
      const { verdict, winner } = packet;
      if (verdict.code === ELSEWHERE) return sentOn(state, verdict, packet.address, now, random);
      if (verdict.code !== 0) return ended(state, verdict, { winner, is: FORCED_OFF.includes(verdict.code) }, now, random);
      const { session, forcedOff, heartbeatIntervalMs: intervalMs, heartbeatTimeoutMs: timeoutMs } = packet;
      const event = { session, instance: state.instance, resumed: session === state.session, forcedOff };
      const online = to(
        { ...state, session, attempt: 0, redirects: 0 },
        { at: "online", intervalMs, timeoutMs, sentAt: phase.until - ANSWER_MS, answerBy: null },
        { do: "tell", name: "online", event },
      );
      if (phase.saidBackground !== state.background) online.actions.push(say(state.background));
      return online;
    }
    case "forceOffline":
      // Whatever else it says: to come back by itself could only push the winner off.
      return ended(state, { ...packet.verdict, next: "logIn" }, { winner: packet.winner, is: true }, now, random);
    case "goAway":
      if (packet.verdict.code === ELSEWHERE) {
        const home = homeOf(state, packet.address);
        return disconnected(wait({ ...state, home, redirects: 0 }, now, random, packet.verdict));
      }
      return ended(state, packet.verdict, { winner: null, is: false }, now, random);
    case "error":
      return ended(state, packet.verdict, { winner: null, is: false }, now, random);
    case "logoutAnswer":
      return phase.at === "online" ? stop(over(state), { code: 0, text: "logged out", next: "logIn" }) : same(state);
    case "heartbeatAnswer":
      if (phase.at === "loggingIn") return disconnected(wait(leftBy(state), now, random, noWord("no gateway answers")));
      // A login does not show that it will last.
      return to({ ...state, backoffMs: BACKOFF_MS_MIN }, { ...phase, answerBy: null });
    case "message":
      return phase.at === "online" ? to(state, { ...phase, answerBy: null }, { do: "deliver", message: packet }) : same(state);
  }
}

/** Another node has the user: it goes there at once. Nodes that do not agree may send it in circles, so not for ever. */
function sentOn(state: State, verdict: Verdict, address: string, now: number, random: number): Step {
  const home = homeOf(state, address);
  if (home === null || state.redirects >= REDIRECTS_MAX) {
    return disconnected(wait({ ...state, home: null, redirects: 0 }, now, random, verdict));
  }
  const next = { ...state, home, redirects: state.redirects + 1, notBefore: now + verdict.retryAfterMs };
  return disconnected(attempt(next, now));
}

/** The address of the user's node, if it is one that this terminal could have been given first. */
function homeOf({ scheme }: State, address: string): string | null {
  if (address.length > ADDRESS_CHARACTERS_MAX) return null;
  try {
    const { protocol, href, hash } = new URL(address);
    return protocol === scheme && hash === "" ? href : null;
  } catch {
    return null;
  }
}

/** The gateway's last word on this connection. */
function ended(state: State, verdict: Verdict, force: { winner: Platform | null; is: boolean }, now: number, random: number): Step {
  const { code, text, next } = verdict;
  switch (next) {
    case "retry":
      return disconnected(wait(state, now, random, verdict));
    case "renewUserSig":
      if (!state.canRenew) return stop(state, { code, text, next });
      return disconnected(wait({ ...state, userSig: null }, now, random, verdict));
    case "stop":
      return stop(state, { code, text, next: "nothing" });
    case "logIn": {
      const stopped = stop(over(state), { code, text, next });
      if (force.is) stopped.actions.unshift({ do: "tell", name: "forcedOffline", event: { code, text, winner: force.winner } });
      return stopped;
    }
  }
}

/** The session is over. */
const over = (state: State): State => ({ ...state, session: 0n });

function stop(state: State, event: Stopped, answered = state.session === 0n): Step {
  const actions: Action[] = [{ do: "disconnect" }, { do: "tell", name: "stopped", event }];
  if (state.logoutBy !== null) actions.push({ do: "settle", answered });
  return { state: { ...state, phase: { at: "stopped" }, logoutBy: null }, actions };
}

/** Comes back later: after the time that the gateway names, or one that grows; at a moment of its own. */
function wait(state: State, now: number, random: number, { code, text, retryAfterMs }: Verdict): Step {
  const inMs = Math.round(Math.max(state.backoffMs * (0.5 + random), retryAfterMs));
  const backoffMs = Math.min(2 * state.backoffMs, BACKOFF_MS_MAX);
  const event = { attempt: state.attempt + 1, inMs, code, text };
  const waiting = { ...state, backoffMs, notBefore: now + retryAfterMs };
  return to(waiting, { at: "waiting", until: now + inMs }, { do: "tell", name: "reconnecting", event });
}

/** Comes back without a wait of its own: what it had is over for a reason that is nobody's fault. */
function atOnce(state: State, now: number, text: string): Step {
  const inMs = Math.max(state.notBefore - now, 0);
  const event = { attempt: state.attempt + 1, inMs, code: 0, text };
  const next = attempt({ ...state, backoffMs: BACKOFF_MS_MIN }, now);
  next.actions.unshift({ do: "disconnect" }, { do: "tell", name: "reconnecting", event });
  return next;
}

/** What an alarm, early, in time or late, is for. */
function due(state: State, now: number, random: number): Step {
  const { phase, logoutBy } = state;
  if (logoutBy !== null && logoutBy <= now) {
    return stop(over(state), { code: 0, text: "nobody has answered the logout", next: "logIn" }, false);
  }
  if (alarmAt(state) > now) return same(state);
  switch (phase.at) {
    case "signing":
      return wait(state, now, random, noWord("the app has given no UserSig in time"));
    case "connecting":
    case "loggingIn":
      return disconnected(wait(leftBy(state), now, random, noWord("the gateway does not answer")));
    case "waiting":
      return attempt(state, now);
    case "online":
      if (now - phase.sentAt > phase.timeoutMs) return atOnce(state, now, "asleep for too long");
      if (phase.answerBy !== null && phase.answerBy <= now) {
        return disconnected(wait(state, now, random, noWord("the gateway does not answer")));
      }
      return beat(state, phase, now);
    case "new":
    case "away":
    case "stopped":
      return same(state);
  }
}

function beat(state: State, phase: Phase & { at: "online" }, now: number): Step {
  const beating = { ...phase, sentAt: now, answerBy: phase.answerBy ?? now + ANSWER_MS };
  return to(state, beating, { do: "send", packet: { kind: "heartbeat" } });
}

/** Time may have passed in which no timer ran, and the connection may look alive and be dead. */
function woken(state: State, now: number, random: number): Step {
  const { phase } = state;
  if (alarmAt(state) <= now || phase.at !== "online" || now - phase.sentAt < ANSWER_MS) return due(state, now, random);
  return probe(state, now);
}

function probe(state: State, now: number): Step {
  const { phase } = state;
  return phase.at === "online" && phase.answerBy === null ? beat(state, phase, now) : same(state);
}

const say = (background: boolean): Action => ({ do: "send", packet: { kind: "background", background } });

function setBackground(state: State, background: boolean, now: number): Step {
  const next = { ...state, background };
  if (state.background === background || state.phase.at !== "online") return same(next);
  return to(next, { ...state.phase, sentAt: now }, say(background));
}

/** Without a connection nothing is said: what was not acknowledged comes again by the next one. */
function acknowledge(state: State, ack: MessageAck, now: number): Step {
  if (state.phase.at !== "online") return same(state);
  return to(state, { ...state.phase, sentAt: now }, { do: "send", packet: ack });
}

function returned(state: State, kept: Kept | null, now: number): Step {
  if (state.phase.at !== "away") return same(state);
  if (kept === null) return stop(over(state), { code: 0, text: "another page of this tab has the session", next: "logIn" });
  const { instance, session, home } = kept;
  return atOnce({ ...state, instance, session, home }, now, "the page is back");
}

/** Without a connection it waits for one, but not for long. */
function logOut(state: State, now: number): Step {
  if (state.logoutBy !== null) return same(state);
  const next = { ...state, logoutBy: now + ANSWER_MS };
  const { at } = state.phase;
  if (at === "online" || at === "loggingIn") return { state: next, actions: [{ do: "send", packet: { kind: "logout" } }] };
  if (state.session !== 0n) return same(next);
  return stop(next, { code: 0, text: "logged out", next: "logIn" });
}
