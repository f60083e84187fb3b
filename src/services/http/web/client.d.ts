/** Holdfast's terminal for web pages and Node: keeps one user on one device online at a gateway, by WebSocket. */

/** What a terminal runs on. The gateway decides by it which devices may be online together. */
export type Platform = "Android" | "iPhone" | "iPad" | "Windows" | "Mac" | "Linux" | "Web";

export interface Options {
  /**
   * Where the gateway takes WebSockets: `wss://gateway.example/`, or `ws:` without TLS. The nodes of a cluster send a terminal on
   * to the one that has its user, by the same scheme.
   */
  url: string | URL;
  /** Who logs in: 1 to 32 characters of printable ASCII. */
  userId: string;
  /** The proof from the app's backend. Without it, the first one comes from `getUserSig`. */
  userSig?: string;
  /**
   * Gives a new UserSig of the app's backend, whenever the gateway does not take the last one. Resolves to `null` if the
   * backend gives none, so that the person has to log in. If it rejects, or takes over 30 s, it is called again later.
   */
  getUserSig?: () => Promise<string | null>;
  /** `"Web"` if not given. */
  platform?: Platform;
  /**
   * This installation, as a number of 64 bits that is not 0. No two terminals that run at the same time may have the same
   * user, platform and instance. Random if not given, which is right for pages. Beyond 2^53 a `bigint` or digits.
   */
  instance?: bigint | number | string;
  /** The session to resume, of the same user, platform and instance. None if not given: the person logs in afresh. */
  session?: bigint | number | string;
  /**
   * Where instance and session of a page outlive it: in this page alone, or in its tab's `sessionStorage`, so that a page
   * that is loaded again resumes its session. Given values count for more. `"memory"` if not given.
   */
  keep?: "memory" | "sessionStorage";
  /** Whether the app begins in the background; in a page, whether it is hidden. */
  background?: boolean;
  /**
   * Takes the messages that the app's backend sends to this device, one after the other as they come: the next one waits until it
   * has returned, or its promise is settled. Each is acknowledged after that, if the backend wants it to be. What it gives is the
   * app's answer to the backend, of at most 4,096 bytes. If it throws, rejects or gives more, the message is refused, and the
   * error goes to the console. Without it the gateway sends no messages.
   */
  onMessage?: (message: Message) => Reply | Promise<Reply>;
  /**
   * `"follow"`: a hidden page counts as in the background, and the browser's word on the network is heeded. `"ignore"`: the
   * app says by `setBackground` whether it is in the background. `"follow"` if not given; of no meaning where there is no page.
   */
  page?: "follow" | "ignore";
  /** At most 32 characters of printable ASCII that help the operator. */
  appVersion?: string;
  /** The class to connect with, where there is no global one, as in Node before 22: that of the package `ws`. */
  WebSocket?: unknown;
}

/** What the app's backend has sent to this device. */
export interface Message {
  /** Tells messages apart: one that is sent again has the same. 64 bits. */
  id: bigint;
  /** Who it is from, as the backend says: a UserID, or another name; empty if it says nothing. */
  from: string;
  /** What it is, as the backend says. */
  kind: string;
  body: Uint8Array;
  /** The body as text in UTF-8. */
  text(): string;
  /** Whether this page has refused it before. One that was taken does not come here again. */
  again: boolean;
}

/** The app's answer to a message; nothing if there is none. */
export type Reply = string | Uint8Array | void;

/** The gateway has answered the login. */
export interface Online {
  /** Known to this device alone, and never 0. */
  session: bigint;
  instance: bigint;
  /** Whether the session went on, so that nobody was told of anything. */
  resumed: boolean;
  /** The devices that were online and that this login forced off. */
  forcedOff: Platform[];
}

/** Another login, or the app's backend, has ended the session. `stopped` follows at once. */
export interface ForcedOffline {
  /** 302: another device logged in; 303: the app's backend ended the session. Others: see `Code` in gateway.proto. */
  code: number;
  /** English, for logs. */
  text: string;
  /** What the device that took the place runs on; `null` if it was the backend, or is not known. */
  winner: Platform | null;
}

/** There is no connection at the moment; the terminal comes back by itself. */
export interface Reconnecting {
  /** How many attempts have been made since it was online, with the one that follows. */
  attempt: number;
  /** When that is, in milliseconds from now. */
  inMs: number;
  /** What the gateway said, as a `Code` of gateway.proto; 0 if it said nothing. */
  code: number;
  /** English, for logs. */
  text: string;
}

/** The terminal does nothing any more. */
export interface Stopped {
  /** What the gateway said, as a `Code` of gateway.proto; 0 if it said nothing. */
  code: number;
  /** English, for logs. */
  text: string;
  /**
   * What to do next:
   * - `"logIn"`: the session is over. Let the person log in, then `connect` without a session.
   * - `"renewUserSig"`: the session is not over. Get a new UserSig from the app's backend, and `connect` with the same
   *   session; if the backend gives none, let the person log in.
   * - `"nothing"`: the session is not over, and trying again changes nothing until the person, the app or the operator does.
   * - `"connect"`: the session is not over; `close` was called. `connect` with it whenever you like.
   */
  next: "logIn" | "renewUserSig" | "nothing" | "connect";
}

export interface Events {
  online: Online;
  forcedOffline: ForcedOffline;
  reconnecting: Reconnecting;
  stopped: Stopped;
}

export interface Terminal {
  readonly status: "connecting" | "online" | "stopped";
  /** 0 before the first login is answered, and after the session's end. */
  readonly session: bigint;
  readonly instance: bigint;
  /** Calls `listener` at each event of this name. The function that it gives ends that. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
  /**
   * Logs out: the device is Offline, and `stopped` follows. Waits up to 10 s for the gateway's answer, and gives whether it
   * came. Without it the device is Offline after its heartbeat time-out.
   */
  logout(): Promise<boolean>;
  /** Ends the connection, and not the session, which can be resumed. `stopped` follows. */
  close(): void;
  /** Says that the app went to the background, or came back. Its user stays online. */
  setBackground(background: boolean): void;
}

/**
 * Connects, logs in, and stays online until `logout`, `close` or an event `stopped`. Events come after it has returned.
 *
 * @throws {TypeError} if an option is out of its bounds.
 */
export function connect(options: Options): Terminal;

