// The unmodified JavaScript Stream Manager SDK against skerry-streams.
//
//   NODE_PATH=…/node_modules node --test javascript_sdk_test.mjs    (SKERRY_STREAMS names the program)
import assert from "node:assert/strict";
import {spawn} from "node:child_process";
import {once} from "node:events";
import fs from "node:fs";
import {createRequire} from "node:module";
import os from "node:os";
import path from "node:path";
import {after, before, test} from "node:test";
import {setTimeout} from "node:timers/promises";

const {StreamManagerClient, MessageStreamDefinition, ReadMessagesOptions, StrategyOnFull, ResourceNotFoundException} =
    createRequire(import.meta.url)("aws-greengrass-core-sdk/stream-manager");

const definition = (name) => new MessageStreamDefinition().withName(name).withStrategyOnFull(StrategyOnFull.RejectNewData);
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "skerry-streams-"));
const portFile = path.join(directory, "port");
let server, client;

before(async () => {
  server = spawn(process.env.SKERRY_STREAMS, ["--dir", directory, "--port", "0", "--log-level", "warn"],
                 {stdio: "inherit"});
  while (!fs.existsSync(portFile)) {
    assert.equal(server.exitCode, null);
    await setTimeout(10);
  }
  // A request before it is connected would make it connect twice, and read both ways at once.
  client = new StreamManagerClient({port: Number(fs.readFileSync(portFile, "utf8"))});
  await new Promise((resolve) => client.onConnected(resolve));
});

after(async () => {
  await client.close();
  const ended = once(server, "exit");
  server.kill();
  await ended;
  fs.rmSync(directory, {recursive: true});
});

test("a stream is made, filled, read, described and removed", async () => {
  await client.createMessageStream(definition("s").withMaxSize(1 << 20));
  for (let i = 0; i < 20; i++) assert.equal(await client.appendMessage("s", Buffer.from(`message ${i}`)), i);
  const read = await client.readMessages("s", new ReadMessagesOptions()
      .withDesiredStartSequenceNumber(15).withMinMessageCount(5).withMaxMessageCount(10).withReadTimeoutMillis(1000));
  assert.deepEqual(read.map((message) => message.payload.toString()),
                   [15, 16, 17, 18, 19].map((i) => `message ${i}`));
  assert.deepEqual(await client.listStreams(), ["s"]);
  const info = await client.describeMessageStream("s");
  assert.equal(info.storageStatus.newestSequenceNumber, 19);
  await client.updateMessageStream(definition("s").withMaxSize(2 << 20));
  await client.deleteMessageStream("s");
  await assert.rejects(client.readMessages("s"), ResourceNotFoundException);
});

test("many requests at once are all answered", async () => {
  await client.createMessageStream(definition("many"));
  const numbers = await Promise.all(Array.from({length: 50}, (_, i) => client.appendMessage("many", Buffer.from([i]))));
  assert.deepEqual([...numbers].sort((a, b) => a - b), Array.from({length: 50}, (_, i) => i));
});
