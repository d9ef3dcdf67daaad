// Reads the JSON lines that tests/interop/tools.py writes: one Kafka record each, bytes as base64.
const fs = require("fs");

module.exports = (path) =>
  fs
    .readFileSync(path, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const { topic, key, value, headers } = JSON.parse(line);
      const bytes = (text) => Buffer.from(text, "base64");
      return {
        topic,
        key: key === null ? null : bytes(key),
        value: value === null ? null : bytes(value),
        headers: Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, bytes(v)])),
      };
    });
