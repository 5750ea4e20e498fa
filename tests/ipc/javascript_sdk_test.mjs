// The unmodified JavaScript device SDK against the real IPC server: every served operation, and errors.
// The SDK rejects error shapes that the model does not have for an operation, so this also shows that
// ours are the modelled ones.
//
//   NODE_PATH=…/node_modules node --test javascript_sdk_test.mjs    (IPC_TEST_SERVER names the program)
import assert from "node:assert/strict";
import {spawn} from "node:child_process";
import {once} from "node:events";
import fs from "node:fs";
import {createRequire} from "node:module";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import {after, before, test} from "node:test";

const {greengrasscoreipc} = createRequire(import.meta.url)("aws-iot-device-sdk-v2");

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "skerry-ipc-"));
const socket = path.join(directory, "ipc.socket");
let server, lines;

before(async () => {
  server = spawn(process.env.IPC_TEST_SERVER, [socket], {stdio: ["pipe", "pipe", "inherit"]});
  lines = readline.createInterface({input: server.stdout})[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, "ready");
  process.env.AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT = socket;
});

after(async () => {
  const ended = once(server, "exit");
  server.stdin.end();
  await ended;
  fs.rmSync(directory, {recursive: true});
});

async function withClients(tokens, body) {
  const clients = [];
  try {
    for (const token of tokens) {
      process.env.SVCUID = token;
      const client = greengrasscoreipc.createClient();
      clients.push(client);
      await client.connect();
    }
    await body(...clients);
  } finally {
    for (const client of clients) await client.close();
  }
}

// The error a call is rejected with, as the SDK models it.
async function serviceError(promise) {
  const error = await promise.then(() => assert.fail("the call succeeded"), (e) => e);
  assert.ok(error.serviceError, `not a modelled error: ${error}`);
  return error;
}

test("GetConfiguration", () => withClients(["TOKEN-APP"], async (client) => {
  assert.deepEqual(await client.getConfiguration({keyPath: ["mqtt"]}),
                   {componentName: "app", value: {port: 8883, hosts: ["a", "b"]}});
  assert.deepEqual(await client.getConfiguration({componentName: "other", keyPath: ["mqtt", "port"]}),
                   {componentName: "other", value: {port: 8883}});
  const {serviceError: missing} = await serviceError(client.getConfiguration({keyPath: ["no"]}));
  assert.deepEqual(missing,
                   {message: "Key not found", resourceType: "configuration", resourceName: "app/no"});
}));

test("UpdateConfiguration and SubscribeToConfigurationUpdate",
     () => withClients(["TOKEN-APP", "TOKEN-OTHER"], async (app, other) => {
  const stream = other.subscribeToConfigurationUpdate({componentName: "app", keyPath: ["greeting"]});
  const event = once(stream, "message");
  await stream.activate();
  await app.updateConfiguration({keyPath: [], timestamp: new Date(), valueToMerge: {greeting: "moin"}});
  assert.deepEqual((await event)[0],
                   {configurationUpdateEvent: {componentName: "app", keyPath: ["greeting"]}});
  assert.deepEqual((await app.getConfiguration({keyPath: ["greeting"]})).value, {greeting: "moin"});
  const old = app.updateConfiguration({timestamp: new Date(1000), valueToMerge: {greeting: "old"}});
  assert.match((await serviceError(old)).serviceError.message, /older than/);
  await stream.close();
}));

test("PublishToTopic and SubscribeToTopic",
     () => withClients(["TOKEN-APP", "TOKEN-OTHER"], async (publisher, subscriber) => {
  const stream = subscriber.subscribeToTopic({topic: "local/+"});
  const events = [];
  const both = new Promise((resolve) => stream.on("message", (event) => {
    if (events.push(event) === 2) resolve();
  }));
  assert.deepEqual(await stream.activate(), {topicName: "local/+"});
  await publisher.publishToTopic({topic: "local/1", publishMessage: {jsonMessage: {message: {k: 1.5}}}});
  await publisher.publishToTopic(
      {topic: "local/2", publishMessage: {binaryMessage: {message: Buffer.from([0, 255])}}});
  await both;
  assert.deepEqual(events[0], {jsonMessage: {message: {k: 1.5}, context: {topic: "local/1"}}});
  assert.deepEqual(Buffer.from(events[1].binaryMessage.message), Buffer.from([0, 255]));
  assert.equal(events[1].binaryMessage.context.topic, "local/2");
  const ended = once(stream, "ended");
  await stream.close();
  await ended;
}));

test("PublishToIoTCore and SubscribeToIoTCore", () => withClients(["TOKEN-APP"], async (client) => {
  const stream = client.subscribeToIoTCore({topicName: "cloud/#", qos: "1"});
  const event = once(stream, "message");
  await stream.activate();
  await client.publishToIoTCore({topicName: "cloud/a", qos: "1", payload: Buffer.from("hello")});
  const [{message}] = await event;
  assert.equal(message.topicName, "cloud/a");
  assert.equal(Buffer.from(message.payload).toString(), "hello");
  await stream.close();
}));

test("access control", () => withClients(["TOKEN-BARE"], async (client) => {
  const calls = [
    () => client.publishToTopic({topic: "t", publishMessage: {jsonMessage: {message: {}}}}),
    () => client.subscribeToTopic({topic: "t"}).activate(),
    () => client.publishToIoTCore({topicName: "t", qos: "1", payload: ""}),
    () => client.subscribeToIoTCore({topicName: "t", qos: "1"}).activate(),
  ];
  for (const call of calls) {
    assert.match((await serviceError(call())).serviceError.message, /bare is not authorized/);
  }
}));

test("UpdateState", () => withClients(["TOKEN-APP"], async (client) => {
  await client.updateState({state: "RUNNING"});
  assert.equal((await lines.next()).value, "state app RUNNING");
}));

test("a debug password is the operator's to make", () => withClients(["TOKEN-OPERATOR", "TOKEN-BARE"],
    async (client, bare) => {
  const made = await client.createDebugPassword({});
  assert.equal(made.username, "debug");
  assert.match(made.password, /^[A-Z0-9]{32}$/);
  assert.match((await serviceError(bare.createDebugPassword({}))).serviceError.message, /bare is not authorized/);
}));

test("a server of client devices is certified", () => withClients(["TOKEN-APP"], async (client) => {
  const stream = client.subscribeToCertificateUpdates({certificateOptions: {certificateType: "SERVER"}});
  const event = new Promise((resolve) => stream.on("message", resolve));
  await stream.activate();
  const {certificateUpdate} = await event;
  assert.match(certificateUpdate.certificate, /BEGIN CERTIFICATE/);
  assert.match(certificateUpdate.privateKey, /BEGIN PRIVATE KEY/);
  assert.equal(certificateUpdate.caCertificates.length, 1);
  await stream.close();
}));

test("a wrong token is refused", async () => {
  process.env.SVCUID = "WRONG";
  const client = greengrasscoreipc.createClient();
  await assert.rejects(client.connect(), /connack|closed/);
});
