// kafkajs follows topics as a group from their beginning and writes each record as a JSON line.
// node follow.cjs SERVERS OUT TOPIC... runs until it is ended.
const fs = require("fs");
const { Kafka, logLevel } = require("kafkajs");

const [servers, out, ...topics] = process.argv.slice(2);
const base64 = (bytes) => (bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString("base64"));

async function main() {
  const kafka = new Kafka({ brokers: servers.split(","), logLevel: logLevel.ERROR });
  const consumer = kafka.consumer({ groupId: "other-people", maxBytesPerPartition: 16777216 });
  await consumer.connect();
  await consumer.subscribe({ topics, fromBeginning: true });
  const file = fs.openSync(out, "a");
  await consumer.run({
    eachMessage: async ({ topic, message }) => {
      const headers = Object.fromEntries(
        Object.entries(message.headers).map(([name, value]) => [name, base64(value)]),
      );
      const { key, value } = message;
      const line = { topic, key: base64(key), value: base64(value), headers };
      fs.writeSync(file, JSON.stringify(line) + "\n");
    },
  });
}

main();
