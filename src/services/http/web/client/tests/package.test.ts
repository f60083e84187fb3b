// The package as npm would publish it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

/** Of the whole package, unpacked: what an app takes on. */
const BYTES_MAX = 48_000;

test("it has the client, its types and its page, and no more", async () => {
  const { stdout } = await promisify(execFile)("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"]);
  const [packed] = Object.values(JSON.parse(stdout)) as { files: { path: string }[]; unpackedSize: number }[];
  assert.deepEqual(packed!.files.map(({ path }) => path).sort(), ["README.md", "client.d.ts", "client.js", "package.json"]);
  assert(packed!.unpackedSize <= BYTES_MAX, `${packed!.unpackedSize} bytes`);
});

test("what is built has one door", async () => {
  const built = await import(`${process.cwd()}/client.js`);
  assert.deepEqual(Object.keys(built), ["connect"]);
  assert.throws(() => built.connect({ url: "http://x/", userId: "alice", userSig: "sig" }), /url/);
});
