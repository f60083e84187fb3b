// A gateway that does as a test says: it takes WebSockets, reads packets by proto/gateway.proto, and sends what it is given.

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import protobuf from "protobufjs";
import { WebSocket, WebSocketServer } from "ws";
import type { Events, Options, Terminal } from "../../client.d.ts";
import { connect } from "../client.ts";

const root = protobuf.loadSync(`${process.cwd()}/../../../../proto/gateway.proto`);
const Request = root.lookupType("holdfast.gateway.v1.Request");
const Response = root.lookupType("holdfast.gateway.v1.Response");

export class Connection {
  readonly #requests: Record<string, any>[] = [];
  #news = () => {};

  constructor(readonly socket: WebSocket) {
    socket.on("message", (data: Buffer) => {
      const request = Request.decodeDelimited(data);
      this.#requests.push(Request.toObject(request, { longs: String, enums: String }));
      this.#news();
    });
  }

  /** The next packet that comes. */
  async request(): Promise<Record<string, any>> {
    while (this.#requests.length === 0) await new Promise<void>((resolve) => (this.#news = resolve));
    return this.#requests.shift()!;
  }

  bytes(response: object): Uint8Array {
    return Response.encodeDelimited(Response.fromObject(response)).finish();
  }

  send(response: object) {
    this.socket.send(this.bytes(response));
  }

  /** Takes the login, and gives it. */
  async accept(session: number, heartbeatIntervalMs = 120_000): Promise<Record<string, any>> {
    const { login } = await this.request();
    this.send({ loginAnswer: { verdict: {}, protocol: 1, session, heartbeatIntervalMs, heartbeatTimeoutMs: 400_000 } });
    return login;
  }

  /** Refuses the login, and gives it. */
  async refuse(code: string, whatNext: string): Promise<Record<string, any>> {
    const { login } = await this.request();
    this.send({ loginAnswer: { verdict: { code: `CODE_${code}`, text: code, whatNext: `WHAT_NEXT_${whatNext}` } } });
    return login;
  }

  /** Sends the terminal on, and gives its login. */
  async sendOn(address: string): Promise<Record<string, any>> {
    const { login } = await this.request();
    const verdict = { code: "CODE_ELSEWHERE", text: "elsewhere", whatNext: "WHAT_NEXT_RETRY" };
    this.send({ loginAnswer: { verdict, address } });
    return login;
  }

  async closed() {
    if (this.socket.readyState !== this.socket.CLOSED) await once(this.socket, "close");
  }
}

export class Gateway {
  readonly #server: WebSocketServer;
  url = "";
  readonly #accepted: Connection[] = [];
  #news = () => {};

  constructor() {
    const handleProtocols = (offered: Set<string>) => (offered.has("holdfast.v1") ? "holdfast.v1" : (false as const));
    this.#server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols });
    this.#server.on("connection", (socket) => {
      if (socket.protocol !== "holdfast.v1") return socket.terminate();
      this.#accepted.push(new Connection(socket));
      this.#news();
    });
  }

  async listening(): Promise<this> {
    await once(this.#server, "listening");
    this.url = `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
    return this;
  }

  async connection(): Promise<Connection> {
    while (this.#accepted.length === 0) await new Promise<void>((resolve) => (this.#news = resolve));
    return this.#accepted.shift()!;
  }

  stop() {
    this.#server.clients.forEach((client) => client.terminate());
    this.#server.close();
  }
}

/** Runs a test with a gateway and a way to connect to it; ends both. */
export async function withGateway(run: (gateway: Gateway, open: (options?: Partial<Options>) => Terminal) => Promise<void>) {
  const gateway = await new Gateway().listening();
  const terminals: Terminal[] = [];
  const open = (options: Partial<Options> = {}) => {
    const terminal = connect({ url: gateway.url, userId: "alice", userSig: "sig", WebSocket, ...options });
    terminals.push(terminal);
    return terminal;
  };
  try {
    await run(gateway, open);
  } finally {
    terminals.forEach((terminal) => terminal.close());
    gateway.stop();
  }
}

/** The next event of this name. */
export const event = <Name extends keyof Events>(terminal: Terminal, name: Name) =>
  new Promise<Events[Name]>((resolve) => {
    const forget = terminal.on(name, (event) => {
      forget();
      resolve(event);
    });
  });
