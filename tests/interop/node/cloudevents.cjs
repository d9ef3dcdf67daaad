// The CloudEvents SDK of JavaScript reads records as its Kafka binding says.
// node cloudevents.cjs MESSAGES prints [{topic, id, source, type, time, subject, data, extensions}].
const { Kafka } = require("cloudevents");
const messages = require("./messages.cjs");

const known = ["id", "source", "type", "time", "subject", "specversion", "datacontenttype", "data"];
const read = messages(process.argv[2]).map(({ topic, key, value, headers }) => {
  const texts = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, v.toString()]));
  const event = Kafka.toEvent({ key: key.toString(), value, headers: texts, body: value });
  const plain = event.toJSON();
  const isPicture = !texts["content-type"].startsWith("application/json");
  return {
    topic,
    valid: event.validate(),
    ...Object.fromEntries(known.map((name) => [name, plain[name] ?? null])),
    data: isPicture ? Buffer.from(event.data ?? value).toString("base64") : event.data,
    extensions: Object.fromEntries(
      Object.entries(plain).filter(([name]) => !known.includes(name) && name !== "data_base64"),
    ),
  };
});
console.log(JSON.stringify(read));
