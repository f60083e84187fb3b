// Builds client.js from client/. With --check: says whether it is current, and writes nothing. With --tests: builds the tests, too.

import { readFile, readdir } from "node:fs/promises";
import { build } from "esbuild";

const folder = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const common = { bundle: true, format: "esm", target: "es2022", charset: "utf8", absWorkingDir: folder, logLevel: "warning" };

if (process.argv.includes("--tests")) {
  const names = (await readdir(`${folder}/client/tests`)).filter((name) => name.endsWith(".test.ts"));
  const entryPoints = names.map((name) => `client/tests/${name}`);
  // Node 18 has Web Crypto, but not as a global.
  const banner = { js: 'import { webcrypto } from "node:crypto";\nglobalThis.crypto ??= webcrypto;' };
  await build({ ...common, banner, entryPoints, outdir: "node_modules/.tests", platform: "node", packages: "external", outExtension: { ".js": ".mjs" } });
} else {
  const isChecked = process.argv.includes("--check");
  const notice = await readFile(`${folder}/client/notice.txt`, "utf8");
  const options = { entryPoints: ["client/client.ts"], outfile: "client.js", minify: true, legalComments: "none", banner: { js: `/*!\n${notice}*/` } };
  const { outputFiles } = await build({ ...common, ...options, write: !isChecked });
  if (isChecked && outputFiles[0].text !== (await readFile(`${folder}/client.js`, "utf8"))) {
    console.error("client.js is not what client/ says: run `npm run build` and commit it");
    process.exitCode = 1;
  }
}
