// The stock JavaScript device SDK, measured: javascript_client.mjs get|publish COUNT prints latencies in
// nanoseconds, one a line. The socket's path comes from the environment, as in a component.
import {createRequire} from "node:module";

const {greengrasscoreipc} = createRequire(import.meta.url)("aws-iot-device-sdk-v2");
const [what, count] = [process.argv[2], Number(process.argv[3])];

async function connect(token) {
  process.env.SVCUID = token;
  const client = greengrasscoreipc.createClient();
  await client.connect();
  return client;
}

const client = await connect("TOKEN-APP");
const others = [];
let step = () => client.getConfiguration({keyPath: ["mqtt", "port"]});
if (what === "publish") {
  const subscriber = await connect("TOKEN-OTHER");
  others.push(subscriber);
  const stream = subscriber.subscribeToTopic({topic: "bench"});
  let arrived;
  stream.on("message", () => arrived());
  await stream.activate();
  step = async () => {
    const event = new Promise((resolve) => { arrived = resolve; });
    await client.publishToTopic({topic: "bench", publishMessage: {jsonMessage: {message: {n: 1}}}});
    await event;
  };
}

for (let i = 0; i < count / 10; ++i) await step();
const latencies = [];
for (let i = 0; i < count; ++i) {
  const start = process.hrtime.bigint();
  await step();
  latencies.push(process.hrtime.bigint() - start);
}
console.log(latencies.join("\n"));
for (const each of [client, ...others]) await each.close();
