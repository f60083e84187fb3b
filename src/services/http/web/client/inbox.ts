// Messages on their way to the app: one after the other, each until it is taken, and how each is acknowledged. Knows no connection.

import type { Message, Options, Reply } from "../client.d.ts";
import { ACK_IDS_MAX, type MessageAck, type MessagePacket, REPLY_BYTES_MAX } from "./packets.ts";

/** As many may wait for one device at the gateway. */
const KNOWN_MAX = 64;
const NO_REPLY = new Uint8Array();

export class Inbox {
  readonly #onMessage: NonNullable<Options["onMessage"]>;
  readonly #acknowledge: (ack: MessageAck) => void;
  #waiting: MessagePacket[] = [];
  /** The one that the app is at. */
  #current: MessagePacket | null = null;
  /** What the app made of the last ones, by their ids: its reply, or `null` if it has refused. */
  readonly #known = new Map<bigint, Uint8Array | null>();
  /** Taken without a reply, and not acknowledged yet. */
  #taken: bigint[] = [];

  constructor(onMessage: NonNullable<Options["onMessage"]>, acknowledge: (ack: MessageAck) => void) {
    this.#onMessage = onMessage;
    this.#acknowledge = acknowledge;
  }

  /** One came. If it is still on its way to the app, or was taken, the app does not get it again. */
  put(packet: MessagePacket): void {
    const { id } = packet.content;
    if ([this.#current, ...this.#waiting].some((other) => other?.content.id === id)) return;
    const reply = this.#known.get(id);
    if (reply) return this.#end(packet, reply);
    this.#waiting.push(packet);
    if (!this.#current) void this.#run();
  }

  /** Nobody wants what has not reached the app. */
  clear(): void {
    this.#waiting = [];
  }

  async #run(): Promise<void> {
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      this.#current = next;
      let reply: Uint8Array | null = null;
      try {
        const given = this.#onMessage(this.#messageOf(next));
        // Without a wait where there is no promise: those that come at once are acknowledged together.
        reply = bytesOf(isPromise(given) ? await given : given);
      } catch (error) {
        // No fault that ends a program: to throw is how an app refuses.
        console.error(error);
      }
      this.#remember(next.content.id, reply);
      this.#end(next, reply);
      this.#current = null;
    }
  }

  #messageOf({ content }: MessagePacket): Message {
    return { ...content, text: () => new TextDecoder().decode(content.body), again: this.#known.has(content.id) };
  }

  #remember(id: bigint, reply: Uint8Array | null): void {
    this.#known.delete(id);
    this.#known.set(id, reply);
    if (this.#known.size > KNOWN_MAX) this.#known.delete(this.#known.keys().next().value!);
  }

  /** The app has taken it with this reply, or refused it. */
  #end({ content, wantsAck }: MessagePacket, reply: Uint8Array | null): void {
    if (!wantsAck) return;
    const { id } = content;
    if (!reply || reply.length > 0) return this.#say([id], reply);
    if (this.#taken.push(id) === 1) queueMicrotask(() => this.#sayTaken());
  }

  #sayTaken(): void {
    while (this.#taken.length > 0) this.#say(this.#taken.splice(0, ACK_IDS_MAX), NO_REPLY);
  }

  #say(ids: bigint[], reply: Uint8Array | null): void {
    this.#acknowledge({ kind: "messageAck", ids, reply: reply ?? NO_REPLY, refused: reply === null });
  }
}

function isPromise(given: Reply | Promise<Reply>): given is Promise<Reply> {
  return typeof (given as PromiseLike<Reply> | undefined)?.then === "function";
}

/** What the app gives, as its reply. Throws if it is too long. */
function bytesOf(given: Reply): Uint8Array {
  const bytes = typeof given === "string" ? new TextEncoder().encode(given) : given instanceof Uint8Array ? given.slice() : NO_REPLY;
  if (bytes.length > REPLY_BYTES_MAX) throw new RangeError(`onMessage: a reply of ${bytes.length} bytes, of ${REPLY_BYTES_MAX} at most`);
  return bytes;
}
