// Packets and frames: what a terminal and the gateway say to each other, as bytes and as plain values. The numbers of fields
// are those of proto/gateway.proto, which explains them. Decides nothing.

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Message, Platform } from "../client.d.ts";

/** What to do next, by number. One that is not known counts as the first. */
const NEXT_STEPS = ["logIn", "retry", "logIn", "stop", "renewUserSig"] as const;
/** By number, from 1 on. */
const PLATFORMS: readonly Platform[] = ["Android", "iPhone", "iPad", "Windows", "Mac", "Linux", "Web"];
const PROTOCOL = 1;
/** It goes where a login's answer sends it. */
const FEATURE_REDIRECT = 1;
/** It takes messages, and acknowledges those that want it. */
const FEATURES_OF_MESSAGES = 2 | 4;
/** Of a packet of the gateway. */
const PACKET_BYTES_MAX = 65_536;
/** Of the varint before it. */
const LENGTH_BYTES_MAX = 5;

export interface Verdict {
  code: number;
  text: string;
  retryAfterMs: number;
  next: (typeof NEXT_STEPS)[number];
}

export interface Login {
  kind: "login";
  userId: string;
  userSig: string;
  platform: Platform;
  instance: bigint;
  session: bigint;
  sdkVersion: string;
  appVersion: string;
  background: boolean;
  takesMessages: boolean;
}

export interface MessageAck {
  kind: "messageAck";
  /** At most `ACK_IDS_MAX`. */
  ids: bigint[];
  /** At most `REPLY_BYTES_MAX`; empty with several ids. */
  reply: Uint8Array;
  refused: boolean;
}

export const ACK_IDS_MAX = 64;
export const REPLY_BYTES_MAX = 4_096;

/** What a terminal says. */
export type Request = Login | MessageAck | { kind: "heartbeat" } | { kind: "logout" } | { kind: "background"; background: boolean };

export interface LoginAnswer {
  kind: "loginAnswer";
  verdict: Verdict;
  session: bigint;
  heartbeatIntervalMs: number;
  heartbeatTimeoutMs: number;
  forcedOff: Platform[];
  winner: Platform | null;
  /** Where to log in; empty if nobody knows. */
  address: string;
}

export interface MessagePacket {
  kind: "message";
  content: Pick<Message, "id" | "from" | "kind" | "body">;
  wantsAck: boolean;
}

/** What the gateway says. */
export type Response =
  | LoginAnswer
  | MessagePacket
  | { kind: "heartbeatAnswer" }
  | { kind: "logoutAnswer" }
  | { kind: "forceOffline"; verdict: Verdict; winner: Platform | null }
  | { kind: "goAway"; verdict: Verdict; address: string }
  | { kind: "error"; verdict: Verdict };

export function isPlatform(name: string): name is Platform {
  return (PLATFORMS as readonly string[]).includes(name);
}

/** A packet in its frame. */
export function encode(request: Request): Uint8Array {
  const packet = new BinaryWriter();
  switch (request.kind) {
    case "login":
      putLogin(packet.tag(1, WireType.LengthDelimited).fork(), request);
      break;
    case "heartbeat":
      packet.tag(2, WireType.LengthDelimited).fork();
      break;
    case "logout":
      packet.tag(3, WireType.LengthDelimited).fork();
      break;
    case "background":
      packet.tag(4, WireType.LengthDelimited).fork().tag(1, WireType.Varint).bool(request.background);
      break;
    case "messageAck":
      putAck(packet.tag(5, WireType.LengthDelimited).fork(), request);
      break;
  }
  return new BinaryWriter().bytes(packet.join().finish()).finish();
}

function putLogin(to: BinaryWriter, login: Login): void {
  const text = (field: number, value: string) => to.tag(field, WireType.LengthDelimited).string(value);
  to.tag(1, WireType.Varint).uint32(PROTOCOL);
  to.tag(2, WireType.Varint).uint64(FEATURE_REDIRECT | (login.takesMessages ? FEATURES_OF_MESSAGES : 0));
  text(3, login.userId);
  text(4, login.userSig);
  to.tag(5, WireType.Varint).uint32(PLATFORMS.indexOf(login.platform) + 1);
  to.tag(6, WireType.Bit64).fixed64(login.instance);
  to.tag(7, WireType.Varint).uint64(login.session);
  text(8, login.sdkVersion);
  text(9, login.appVersion);
  to.tag(10, WireType.Varint).bool(login.background);
}

function putAck(to: BinaryWriter, { ids, reply, refused }: MessageAck): void {
  to.tag(1, WireType.LengthDelimited).fork();
  ids.forEach((id) => to.fixed64(id));
  to.join().tag(2, WireType.LengthDelimited).bytes(reply);
  to.tag(3, WireType.Varint).bool(refused);
}

/** A packet without its frame; `null` for one that only a later protocol knows. Throws if it cannot be decoded. */
export function decode(bytes: Uint8Array): Response | null {
  const packet = fieldsOf(bytes);
  if (packet.has(1)) return loginAnswer(fieldsOf(bytesOf(packet, 1)));
  if (packet.has(2)) return { kind: "heartbeatAnswer" };
  if (packet.has(3)) return { kind: "logoutAnswer" };
  if (packet.has(4)) {
    const fields = fieldsOf(bytesOf(packet, 4));
    return { kind: "forceOffline", verdict: verdict(fields), winner: platform(numberOf(fields, 2)) };
  }
  if (packet.has(5)) {
    const fields = fieldsOf(bytesOf(packet, 5));
    return { kind: "goAway", verdict: verdict(fields), address: textOf(fields, 3) };
  }
  if (packet.has(6)) return { kind: "error", verdict: verdict(fieldsOf(bytesOf(packet, 6))) };
  if (packet.has(7)) return message(fieldsOf(bytesOf(packet, 7)));
  return null;
}

function message(fields: Fields): MessagePacket {
  const id = last(fields, 1, isNumber) ?? 0n;
  // Bytes of its own: an app that keeps it does not keep all that came with it.
  const body = bytesOf(fields, 4).slice();
  return { kind: "message", content: { id, from: textOf(fields, 2), kind: textOf(fields, 3), body }, wantsAck: numberOf(fields, 6) !== 0 };
}

function loginAnswer(fields: Fields): LoginAnswer {
  const answer: LoginAnswer = {
    kind: "loginAnswer",
    verdict: verdict(fields),
    session: last(fields, 4, isNumber) ?? 0n,
    heartbeatIntervalMs: numberOf(fields, 5),
    heartbeatTimeoutMs: numberOf(fields, 6),
    forcedOff: (fields.get(8) ?? []).flatMap(platforms),
    winner: platform(numberOf(fields, 11)),
    address: textOf(fields, 12),
  };
  const lacks = answer.session === 0n || answer.heartbeatIntervalMs === 0 || answer.heartbeatTimeoutMs === 0;
  if (answer.verdict.code === 0 && lacks) throw new Error("a login's answer without its session and times");
  return answer;
}

/** It has the same number in all packets. */
function verdict(packet: Fields): Verdict {
  const fields = fieldsOf(bytesOf(packet, 1));
  return {
    code: numberOf(fields, 1),
    text: textOf(fields, 2),
    retryAfterMs: numberOf(fields, 3),
    next: NEXT_STEPS[numberOf(fields, 4)] ?? "logIn",
  };
}

function platform(number: number): Platform | null {
  return PLATFORMS[number - 1] ?? null;
}

/** The entries of a list, which come one by one or together. */
function platforms(entry: Value): Platform[] {
  const numbers = [];
  if (isNumber(entry)) numbers.push(Number(entry));
  else for (const reader = new BinaryReader(entry); reader.pos < reader.len; ) numbers.push(reader.uint32());
  return numbers.map(platform).filter((known) => known !== null);
}

type Value = bigint | Uint8Array;
/** Of a message, in the order in which they came. */
type Fields = Map<number, Value[]>;

function fieldsOf(bytes: Uint8Array): Fields {
  const fields: Fields = new Map();
  for (const reader = new BinaryReader(bytes); reader.pos < reader.len; ) {
    const [number, type] = reader.tag();
    if (type === WireType.Varint) put(fields, number, BigInt(reader.uint64()));
    else if (type === WireType.Bit64) put(fields, number, BigInt(reader.fixed64()));
    else if (type === WireType.LengthDelimited) put(fields, number, reader.bytes());
    else reader.skip(type, number);
  }
  return fields;
}

function put(fields: Fields, number: number, value: Value): void {
  fields.set(number, [...(fields.get(number) ?? []), value]);
}

function last<Kind extends Value>(fields: Fields, number: number, is: (value: Value) => value is Kind): Kind | undefined {
  const value = fields.get(number)?.at(-1);
  if (value !== undefined && !is(value)) throw new Error(`field ${number} is of another kind`);
  return value;
}

const isNumber = (value: Value): value is bigint => typeof value === "bigint";
const isBytes = (value: Value): value is Uint8Array => typeof value !== "bigint";
const bytesOf = (fields: Fields, number: number) => last(fields, number, isBytes) ?? new Uint8Array();
const textOf = (fields: Fields, number: number) => new TextDecoder().decode(bytesOf(fields, number));
const numberOf = (fields: Fields, number: number) => Number(BigInt.asUintN(32, last(fields, number, isNumber) ?? 0n));

/** Finds the packets in the bytes of a connection. Messages of a WebSocket have no meaning to it. */
export class Frames {
  #kept = new Uint8Array();

  /** The packets that are whole with these bytes. Throws if what comes is no frame, or is too long. */
  take(bytes: Uint8Array): Uint8Array[] {
    let left = new Uint8Array(this.#kept.length + bytes.length);
    left.set(this.#kept);
    left.set(bytes, this.#kept.length);
    const packets = [];
    for (let length = lengthOf(left); length !== null; length = lengthOf(left)) {
      if (left.length < length.start + length.bytes) break;
      packets.push(left.subarray(length.start, length.start + length.bytes));
      left = left.subarray(length.start + length.bytes);
    }
    this.#kept = left;
    return packets;
  }
}

/** Where a packet starts, and how long it is; `null` if that is not known yet. */
function lengthOf(frame: Uint8Array): { start: number; bytes: number } | null {
  const start = frame.subarray(0, LENGTH_BYTES_MAX).findIndex((byte) => byte < 0x80) + 1;
  if (start === 0 && frame.length < LENGTH_BYTES_MAX) return null;
  const bytes = start === 0 ? Infinity : Number(new BinaryReader(frame.subarray(0, start)).uint64());
  if (bytes > PACKET_BYTES_MAX) throw new Error("these are no packets of a gateway");
  return { start, bytes };
}
