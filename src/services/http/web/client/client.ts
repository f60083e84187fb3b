// The client's one door: checks what an app asks for, and makes a terminal of it. See client.d.ts.

import type { Options, Terminal, connect as declared } from "../client.d.ts";
import { version } from "../package.json";
import { BACKOFF_MS_MIN, type State } from "./machine.ts";
import { isHidden } from "./page.ts";
import { isPlatform } from "./packets.ts";
import { Tab } from "./tab.ts";
import { MachineTerminal } from "./terminal.ts";

const TEXT_BYTES_MAX = 32;

export const connect: typeof declared = (options: Options): Terminal => {
  const { userId, userSig = null, getUserSig, onMessage, platform = "Web", appVersion = "" } = options;
  const url = new URL(options.url, globalThis.location?.href);
  check(["ws:", "wss:"].includes(url.protocol), "url", "begins with wss:// or ws://");
  check(isText(userId) && userId !== "", "userId", "has 1 to 32 characters of printable ASCII");
  check(typeof (userSig ?? getUserSig) !== "undefined" && userSig !== "", "userSig", "is given, or getUserSig");
  check(isPlatform(platform), "platform", "is one of those in client.d.ts");
  check(isText(appVersion), "appVersion", "has at most 32 characters of printable ASCII");
  check(["undefined", "function"].includes(typeof onMessage), "onMessage", "is a function");
  const socketClass = (options.WebSocket ?? globalThis.WebSocket) as typeof WebSocket | undefined;
  check(socketClass, "WebSocket", "is given, as there is no global one");

  const page = options.page ?? "follow";
  const tab = options.keep === "sessionStorage" ? new Tab(userId, platform) : null;
  const kept = tab?.take();
  const instance = options.instance === undefined ? (kept?.instance ?? randomInstance()) : number("instance", options.instance);
  check(instance !== 0n, "instance", "is not 0");
  // A session is that of its instance.
  const session = options.session ?? (kept?.instance === instance ? kept.session : 0n);
  const state: State = {
    phase: { at: "new" },
    identity: { userId, platform, sdkVersion: `holdfast-web/${version}`, appVersion, takesMessages: onMessage !== undefined },
    instance,
    session: number("session", session),
    userSig,
    canRenew: getUserSig !== undefined,
    scheme: url.protocol,
    home: kept?.instance === instance && kept.home?.startsWith(url.protocol) ? kept.home : null,
    redirects: 0,
    background: options.background ?? (page === "follow" && isHidden()),
    backoffMs: BACKOFF_MS_MIN,
    notBefore: 0,
    attempt: 0,
    logoutBy: null,
  };
  return new MachineTerminal(state, { url: url.href, socketClass, getUserSig, onMessage, page, tab });
};

function check(holds: unknown, name: keyof Options, what: string): asserts holds {
  if (!holds) throw new TypeError(`connect: ${name} ${what}`);
}

const isText = (text: string) => text.length <= TEXT_BYTES_MAX && /^[\x20-\x7e]*$/.test(text);

function number(name: "instance" | "session", value: bigint | number | string): bigint {
  // A number that is not exact would be another one.
  const isWhole = typeof value === "string" ? /^\d*$/.test(value) : typeof value === "bigint" || Number.isSafeInteger(value);
  const whole = isWhole ? BigInt(value) : -1n;
  check(whole >= 0n && whole < 1n << 64n, name, "is a whole number of 64 bits");
  return whole;
}

function randomInstance(): bigint {
  const [number] = crypto.getRandomValues(new BigUint64Array(1));
  return number || 1n;
}
