// The AsyncAPI parser reads the document, ajv validates messages by what it read.
// node asyncapi.cjs DOCUMENT MESSAGES prints {diagnostics, checked: {channel: n}, problems}.
const fs = require("fs");
const { Parser } = require("@asyncapi/parser");
const Ajv = require("ajv").default;
const addFormats = require("ajv-formats").default;
const messages = require("./messages.cjs");

const [documentPath, messagesPath] = process.argv.slice(2);

function decoded(bytes) {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

async function main() {
  const parsed = await new Parser().parse(fs.readFileSync(documentPath, "utf8"));
  const diagnostics = parsed.diagnostics
    .filter((d) => d.severity === 0 || d.code.includes("schema") || d.code.includes("ref"))
    .map((d) => `${d.code} at ${d.path.join(".")}: ${d.message}`);
  const found = { diagnostics, checked: {}, problems: [] };
  if (parsed.document) {
    const ajv = new Ajv({ strict: false, allErrors: true });
    addFormats(ajv);
    const compiled = new Map();
    const fits = (name, schema, value) => {
      if (!compiled.has(name)) compiled.set(name, ajv.compile(schema));
      const validate = compiled.get(name);
      return validate(value) ? [] : validate.errors.map((e) => `${e.instancePath} ${e.message}`);
    };
    for (const { topic, key, value, headers } of messages(messagesPath)) {
      const say = (words) => found.problems.push(`${topic}: ${words}`);
      const channel = parsed.document.channels().all().find((c) => c.address() === topic);
      if (!channel) {
        say("no channel has this address");
        continue;
      }
      found.checked[topic] = (found.checked[topic] || 0) + 1;
      const [message] = channel.messages().all();
      const texts = {};
      for (const [name, bytes] of Object.entries(headers)) texts[name] = decoded(bytes);
      const declared = message.headers().json();
      for (const name of Object.keys(texts))
        if (!(name in declared.properties)) say(`header ${name} is not declared`);
      fits(`${topic} headers`, declared, texts).forEach((e) => say(`headers${e}`));
      // A header of JSON holds what its contentSchema says.
      for (const [name, schema] of Object.entries(declared.properties))
        if (schema.contentSchema && name in texts)
          fits(`${topic} ${name}`, schema.contentSchema, JSON.parse(texts[name])).forEach((e) =>
            say(`${name}${e}`),
          );
      if (message.contentType() === "application/json")
        fits(`${topic} payload`, message.payload().json(), JSON.parse(decoded(value))).forEach((e) =>
          say(`payload${e}`),
        );
      if (key === null) say("no key");
    }
  }
  console.log(JSON.stringify(found));
}

main();
