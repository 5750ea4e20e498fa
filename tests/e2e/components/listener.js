// A component in JavaScript: answers every word it hears on a local topic.
const {greengrasscoreipc} = require("aws-iot-device-sdk-v2");

async function main() {
  const client = greengrasscoreipc.createClient();
  await client.connect();
  const words = client.subscribeToTopic({topic: "e2e/words"});
  words.on("message", async (event) => {
    const answer = `${event.jsonMessage.message.word} from JavaScript`;
    await client.publishToTopic({topic: "e2e/answers", publishMessage: {jsonMessage: {message: {answer}}}});
  });
  await words.activate();
  setInterval(() => {}, 1 << 30);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
