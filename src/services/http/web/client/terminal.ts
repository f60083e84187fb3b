// A terminal: carries out what the machine decides, with a socket, a timer, the app's functions and the page, and tells it what
// comes of that. Decides nothing itself.

import type { Events, Options, Terminal } from "../client.d.ts";
import { startClock } from "./clock.ts";
import { Inbox } from "./inbox.ts";
import { type Action, type Input, type State, alarmAt, step } from "./machine.ts";
import { followPage, hasPage } from "./page.ts";
import { Frames, decode, encode } from "./packets.ts";
import type { Tab } from "./tab.ts";

const SUBPROTOCOL = "holdfast.v1";
/** A timer of a device that has slept goes off late by its sleep. A shorter one looks at the time earlier. */
const TIMER_MS_MAX = 15_000;

type Listeners = { [Name in keyof Events]: Set<(event: Events[Name]) => void> };

/** A fault of the app ends nothing here, and is told as any other of its faults. */
function report(error: unknown) {
  if (globalThis.reportError) return globalThis.reportError(error);
  setTimeout(() => {
    throw error;
  });
}

/** What a terminal is made with, beside its first state. */
export interface Surroundings {
  url: string;
  socketClass: typeof WebSocket;
  getUserSig: Options["getUserSig"];
  onMessage: Options["onMessage"];
  page: "follow" | "ignore";
  /** `null`: only this page keeps the session. */
  tab: Tab | null;
}

export class MachineTerminal implements Terminal {
  readonly #with: Surroundings;
  readonly #now = startClock();
  readonly #listeners: Listeners = { online: new Set(), forcedOffline: new Set(), reconnecting: new Set(), stopped: new Set() };
  readonly #life = new AbortController();
  readonly #inputs: Input[] = [];
  readonly #inbox: Inbox | null;
  #state: State;
  #isBusy = false;
  #socket: WebSocket | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waitsForLogout: ((answered: boolean) => void)[] = [];

  constructor(state: State, surroundings: Surroundings) {
    this.#state = state;
    this.#with = surroundings;
    const { onMessage } = surroundings;
    this.#inbox = onMessage ? new Inbox(onMessage, (ack) => this.#take({ is: "handled", ack })) : null;
    if (hasPage()) {
      const kept = () => (surroundings.tab ? surroundings.tab.take() : this.#state);
      followPage((input) => this.#take(input), surroundings.page, this.#life.signal, kept);
    }
    // After whoever asked for it listens.
    queueMicrotask(() => this.#take({ is: "start" }));
  }

  get status() {
    const { at } = this.#state.phase;
    return at === "online" || at === "stopped" ? at : "connecting";
  }

  get session() {
    return this.#state.session;
  }

  get instance() {
    return this.#state.instance;
  }

  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void) {
    this.#listeners[name].add(listener);
    return () => void this.#listeners[name].delete(listener);
  }

  logout() {
    const answered = new Promise<boolean>((resolve) => this.#waitsForLogout.push(resolve));
    this.#take({ is: "logout" });
    return answered;
  }

  close() {
    this.#take({ is: "close" });
  }

  setBackground(background: boolean) {
    this.#take({ is: "background", background });
  }

  /** One after the other: what a listener does comes after what it was told of. */
  #take(input: Input) {
    this.#inputs.push(input);
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (let next = this.#inputs.shift(); next; next = this.#inputs.shift()) {
      const { state, actions } = step(this.#state, next, this.#now(), Math.random());
      this.#state = state;
      actions.forEach((action) => this.#carryOut(action));
      this.#keep(next);
    }
    this.#isBusy = false;
    this.#setTimer();
  }

  #carryOut(action: Action) {
    switch (action.do) {
      case "sign":
        return this.#sign();
      case "connect":
        return this.#connect(action.to ?? this.#with.url);
      case "disconnect":
        return this.#disconnect();
      case "send":
        return this.#socket?.send(encode(action.packet) as Uint8Array<ArrayBuffer>);
      case "deliver":
        return this.#inbox?.put(action.message);
      case "settle":
        return this.#waitsForLogout.splice(0).forEach((settle) => settle(action.answered));
      case "tell":
        return this.#tell(action.name, action.event);
    }
  }

  /** A page that leaves, or that does nothing more, has the tab keep what another may go on with. */
  #keep(after: Input) {
    const { phase, session } = this.#state;
    const leaves = after.is === "left" && phase.at === "away";
    const stops = phase.at === "stopped" && !this.#life.signal.aborted;
    if (leaves || (stops && session !== 0n)) this.#with.tab?.put(this.#state);
    if (leaves || stops) this.#inbox?.clear();
    if (stops) this.#life.abort();
  }

  #setTimer() {
    clearTimeout(this.#timer);
    const inMs = alarmAt(this.#state) - this.#now();
    if (inMs === Infinity) return;
    this.#timer = setTimeout(() => this.#take({ is: "alarm" }), Math.min(Math.max(inMs, 0), TIMER_MS_MAX));
  }

  #sign() {
    Promise.resolve()
      .then(() => this.#with.getUserSig?.() ?? null)
      .then((userSig) => this.#take({ is: "signed", userSig: userSig || null }))
      .catch((error) => this.#take({ is: "notSigned", text: `no UserSig: ${error}` }));
  }

  #connect(url: string) {
    let socket: WebSocket;
    try {
      socket = new this.#with.socketClass(url, SUBPROTOCOL);
    } catch (error) {
      return this.#take({ is: "unable", text: `no WebSocket can be opened: ${error}` });
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const frames = new Frames();
    // What it is, the close tells; and `ws` throws where nobody listens, as of a connection that is given up before it is open.
    socket.onerror = () => {};
    socket.onopen = () => this.#take({ is: "opened" });
    socket.onclose = ({ code }) => this.#take({ is: "lost", text: `the connection was lost (close code ${code})` });
    socket.onmessage = ({ data }) => {
      try {
        if (typeof data === "string") throw new Error("a text is no packet");
        const packets = frames.take(new Uint8Array(data)).map(decode);
        packets.forEach((packet) => packet && this.#take({ is: "received", packet }));
      } catch (error) {
        this.#take({ is: "lost", text: `${error}` });
      }
    };
  }

  #disconnect() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    socket.onopen = socket.onclose = socket.onmessage = null;
    socket.close();
  }

  #tell<Name extends keyof Events>(name: Name, event: Events[Name]) {
    for (const listener of [...this.#listeners[name]]) {
      try {
        listener(event);
      } catch (error) {
        report(error);
      }
    }
  }
}
