// A line controller in node-opcua, written from docs/handshake.md and docs/signals.md alone.
//
// node plc.cjs '{"port": 4840, "boot": 1, "parts": 50, "prefix": "a", "window_ms": 2000, ...}'
// prints one JSON object a line: listening, trigger, result, default, done.

"use strict";
const {
  OPCUAServer, Variant, DataType, StatusCodes, MessageSecurityMode, SecurityPolicy,
} = require("node-opcua");

const options = {
  port: 4840, boot: 1, parts: 10, prefix: "part", window_ms: 2000, least_gap_ms: 0, most_gap_ms: 100,
  seed: 1, namespaces: ["urn:andon:line"], sessions: 10, sampling_ms: 0, values_only: false,
  ...JSON.parse(process.argv[2] || "{}"),
};
const PLC = {
  TriggerEnable: "Boolean", PartId: "String", LotId: "String", ProductId: "String", EncoderPos: "Int32",
  TaktMs: "UInt32", TriggerSeq: "UInt32", ResultAckSeq: "UInt32", RecipeReqSeq: "UInt32",
  FaultResetSeq: "UInt32", RecipeReq: "UInt16", PlcHeartbeat: "UInt32", PlcBootId: "UInt32",
};
const GATEWAY = {
  Online: "Boolean", Ready: "Boolean", Busy: "Boolean", ResultOverrun: "Boolean", StopRequest: "Boolean",
  TriggerAckSeq: "UInt32", ExposureDoneSeq: "UInt32", MissedCount: "UInt32", ResultTriggerSeq: "UInt32",
  ResultPartId: "String", ResultCode: "UInt16", ReasonCode: "UInt16", DecisionSource: "UInt16",
  PendingResults: "UInt16", FaultCode: "UInt16", RecipeActive: "UInt16", ClassId: "Int32",
  Score: "Float", ResultTime: "DateTime", ResultSeq: "UInt32", RecipeAckSeq: "UInt32",
  VisionHeartbeat: "UInt32",
};
const HEARTBEAT_MS = 500;
const DEAD_MS = 3 * HEARTBEAT_MS;
const nodes = {};
const say = (event, more = {}) =>
  process.stdout.write(JSON.stringify({ event, boot: options.boot, at: Date.now(), ...more }) + "\n");
let state = options.seed >>> 0;
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0; // mulberry32
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const later = (ms) => new Promise((done) => setTimeout(done, ms));
const kinds = { ...PLC, ...GATEWAY };
const get = (name) => nodes[name].readValue().value.value;
const put = (name, value) =>
  nodes[name].setValueFromSource(new Variant({ dataType: DataType[kinds[name]], value }), StatusCodes.Good);
const first = (kind) =>
  kind === "Boolean" ? false : kind === "String" ? "" : kind === "DateTime" ? new Date(-11644473600000) : 0;

const open = new Map(); // TriggerSeq of each part whose window is open: when it was triggered
let resultTaken = 0;
let beatAt = 0;

function makeNodes(server) {
  const space = server.engine.addressSpace;
  let own;
  for (const uri of options.namespaces) own = space.registerNamespace(uri);
  const folder = own.addObject({ organizedBy: space.rootFolder.objects, browseName: "Andon" });
  for (const [name, kind] of Object.entries(kinds)) {
    const mine = name in PLC;
    nodes[name] = own.addVariable({
      componentOf: folder, browseName: name, nodeId: `s=Andon.${name}`, dataType: kind,
      minimumSamplingInterval: options.sampling_ms,
      accessLevel: mine ? "CurrentRead" : "CurrentRead | CurrentWrite",
      userAccessLevel: mine ? "CurrentRead" : "CurrentRead | CurrentWrite",
      value: { dataType: kind, value: name === "ClassId" ? -1 : first(kind) },
    });
  }
  put("PlcBootId", options.boot);
  put("TaktMs", options.window_ms);
  nodes.VisionHeartbeat.on("value_changed", () => (beatAt = Date.now()));
  nodes.ResultSeq.on("value_changed", () => takeResult());
}

function takeResult() {
  const seq = get("ResultSeq");
  if (seq === 0 || seq === resultTaken) return;
  resultTaken = seq;
  const of = get("ResultTriggerSeq");
  say("result", {
    trigger_seq: of, result_seq: seq, part_id: get("ResultPartId"), code: get("ResultCode"),
    reason: get("ReasonCode"), source: get("DecisionSource"), in_window: open.has(of),
    ms: open.has(of) ? Date.now() - open.get(of) : null,
  });
  open.delete(of);
  put("ResultAckSeq", seq);
}

const alive = () => Date.now() - beatAt < DEAD_MS;
const mayTrigger = () => get("Online") && get("Ready") && alive() && get("TriggerAckSeq") === get("TriggerSeq");

function byDefault(seq, why) {
  if (open.delete(seq)) say("default", { trigger_seq: seq, why });
}

async function play() {
  for (let n = 1; n <= options.parts; n++) {
    while (!mayTrigger()) await later(2);
    await later(options.least_gap_ms + random() * (options.most_gap_ms - options.least_gap_ms));
    if (!mayTrigger()) { n--; continue; }
    const seq = (get("TriggerSeq") % 4294967295) + 1;
    const part_id = `${options.prefix}-${options.boot}-${seq}`;
    put("PartId", part_id);
    put("LotId", "lot");
    put("ProductId", "demo");
    put("EncoderPos", (seq * 1000) & 0x7fffffff);
    put("TaktMs", options.window_ms);
    open.set(seq, Date.now());
    say("trigger", { trigger_seq: seq, part_id });
    put("TriggerSeq", seq);
    setTimeout(() => byDefault(seq, "window"), options.window_ms);
  }
  while (open.size) await later(5);
  say("done");
}

(async () => {
  const server = new OPCUAServer({
    port: options.port, hostname: "127.0.0.1", securityModes: [MessageSecurityMode.None],
    securityPolicies: [SecurityPolicy.None], allowAnonymous: true,
    serverCapabilities: { maxSessions: options.sessions },
  });
  await server.initialize();
  makeNodes(server);
  await server.start();
  let beats = 0;
  setInterval(() => {
    put("PlcHeartbeat", ++beats);
    if (!alive()) for (const seq of [...open.keys()]) byDefault(seq, "gateway_dead");
  }, HEARTBEAT_MS);
  say("listening");
  await play();
})().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
