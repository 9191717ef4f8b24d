// Compiles the helper contracts and the test tokens; writes one artifact a contract.
//
//   node chain/contracts/build.mjs [output directory, default chain/artifacts]
//
// Everything that changes the bytes is pinned here and in package-lock.json: compiler, EVM version,
// optimizer, no metadata hash. The artifacts are committed, so that running needs no compiler; a
// test compiles again and compares every byte.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const solc = createRequire(import.meta.url)("solc");
const here = dirname(fileURLToPath(import.meta.url));
const output = process.argv[2] ?? join(here, "..", "artifacts");

const names = [
  ...readdirSync(here).map((name) => name),
  ...readdirSync(join(here, "testing")).map((name) => `testing/${name}`),
].filter((name) => name.endsWith(".sol")).sort();

const input = {
  language: "Solidity",
  sources: Object.fromEntries(
    names.map((name) => [name, { content: readFileSync(join(here, name), "utf8") }]),
  ),
  settings: {
    evmVersion: "prague",
    optimizer: { enabled: true, runs: 1_000_000 },
    viaIR: true,
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: {
      "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"] },
    },
  },
};

const result = JSON.parse(solc.compile(JSON.stringify(input)));
const problems = result.errors ?? [];
for (const problem of problems) console.error(problem.formattedMessage);
if (problems.length > 0) process.exit(1); // a warning is a fault here too

mkdirSync(output, { recursive: true });
for (const [source, contracts] of Object.entries(result.contracts)) {
  for (const [name, { abi, evm }] of Object.entries(contracts)) {
    if (evm.bytecode.object === "") continue; // abstract contracts and interfaces
    const references = Object.values(evm.deployedBytecode.immutableReferences ?? {}).flat();
    const artifact = {
      contract: name,
      source: `chain/contracts/${source}`,
      compiler: solc.version(),
      bytecode: `0x${evm.bytecode.object}`,
      runtime: `0x${evm.deployedBytecode.object}`,
      immutables: references.map(({ start, length }) => [start, length]).sort((a, b) => a[0] - b[0]),
      abi,
    };
    writeFileSync(join(output, `${name}.json`), `${JSON.stringify(artifact, null, 1)}\n`);
    console.log(`${name}: ${evm.deployedBytecode.object.length / 2} bytes`);
  }
}
