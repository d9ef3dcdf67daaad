// Runs one job of a vision system as a client of OPC 40100-1 and prints what it was told, as JSON.
// node job.cjs URL RECIPE PART
const {
  AttributeIds, BrowseDirection, DataType, MessageSecurityMode, OPCUAClient, SecurityPolicy,
  TimestampsToReturn, Variant, VariantArrayType, constructEventFilter, makeBrowsePath, ofType, resolveNodeId,
} = require("node-opcua-client");

const STANDARD = "http://opcfoundation.org/UA/MachineVision";
const BASE_FIELDS = ["EventId", "EventType", "SourceNode", "SourceName", "Time", "Message", "Severity"];
const RESULT_READY = 1024;
const [url, recipe, part] = process.argv.slice(2);

async function main() {
  const client = OPCUAClient.create({
    endpointMustExist: false,
    securityMode: MessageSecurityMode.None,
    securityPolicy: SecurityPolicy.None,
    connectionStrategy: { maxRetry: 3 },
  });
  await client.connect(url);
  const session = await client.createSession();
  await session.extractNamespaceDataType();
  try {
    console.log(JSON.stringify(await run(session)));
  } finally {
    await session.close();
    await client.disconnect();
  }
}

async function run(session) {
  const uris = (await session.read({ nodeId: "ns=0;i=2255", attributeId: AttributeIds.Value })).value.value;
  const ns = uris.indexOf(STANDARD);
  const type = (number) => `ns=${ns};i=${number}`;
  const at = async (...names) => {
    const path = names.map((name) => `/${ns}:${name}`).join("");
    const found = await session.translateBrowsePath(makeBrowsePath(system, path));
    if (!found.targets?.length) throw new Error(`no ${path} below ${system}: ${found.statusCode}`);
    return found.targets[0].targetId;
  };
  const system = await instanceOf(session, type(1003));
  const machine = await at("VisionStateMachine");
  const automatic = await at("VisionStateMachine", "AutomaticModeStateMachine");
  const make = (number, fields) => session.constructExtensionObject(resolveNodeId(type(number)), fields);
  const struct = async (number, fields) =>
    new Variant({ dataType: DataType.ExtensionObject, value: await make(number, fields) });
  const call = async (object, name, owner, given) => {
    const methodId = await at(...owner, name);
    const result = await session.call({ objectId: object, methodId, inputArguments: given });
    return { status: result.statusCode.name, values: (result.outputArguments ?? []).map(plain) };
  };
  const state = async (node) => {
    const read = { nodeId: await current(session, node), attributeId: AttributeIds.Value };
    return (await session.read(read)).value?.value?.text ?? null;
  };
  await until(async () => (await state(machine)) === "Operational", "Operational");

  const names = [...BASE_FIELDS, ...(await propertiesOf(session, type(RESULT_READY)))];
  const heard = await listen(session, ns, names, type(RESULT_READY));
  const management = await at("RecipeManagement");
  const prepared = await call(management, "PrepareRecipe", ["RecipeManagement"], [
    await struct(3002, { Id: recipe }),
    await struct(3013, { Id: "" }),
  ]);
  const empty = { arrayType: VariantArrayType.Array, value: [] };
  const started = await call(automatic, "StartSingleJob", ["VisionStateMachine", "AutomaticModeStateMachine"], [
    await struct(3015, { Id: "measurement-1" }),
    await struct(3004, { Id: part }),
    await struct(3002, { Id: recipe }),
    await struct(3003, { Id: "" }),
    new Variant({ dataType: DataType.Variant, ...empty }),
  ]);
  await until(async () => heard.length > 0, "ResultReady");
  const event = Object.fromEntries(names.map((name, i) => [name, plain(heard[0][i])]));
  const results = await at("ResultManagement");
  const asked = await call(results, "GetResultById", ["ResultManagement"], [
    await struct(3021, { Id: event.ResultId.id }),
    new Variant({ dataType: DataType.Int32, value: 1000 }),
  ]);
  return { prepared, started, event, asked, state: await state(machine), automatic: await state(automatic) };
}

async function instanceOf(session, typeId) {
  const found = await session.browse({
    nodeId: "ns=0;i=85", browseDirection: BrowseDirection.Forward, resultMask: 63,
  });
  const system = found.references.find((one) => one.typeDefinition?.toString() === typeId);
  if (!system) throw new Error("no VisionSystem below Objects");
  return system.nodeId.toString();
}

async function current(session, machine) {
  const found = await session.translateBrowsePath(makeBrowsePath(machine, "/CurrentState"));
  return found.targets[0].targetId;
}

async function propertiesOf(session, typeId) {
  const found = await session.browse({
    nodeId: typeId, browseDirection: BrowseDirection.Forward, referenceTypeId: "HasProperty", resultMask: 63,
  });
  return found.references.map((one) => one.browseName.name);
}

async function listen(session, ns, names, typeId) {
  const heard = [];
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 20, requestedMaxKeepAliveCount: 20, requestedLifetimeCount: 1000,
    maxNotificationsPerPublish: 100, publishingEnabled: true, priority: 1,
  });
  const paths = names.map((name) => (BASE_FIELDS.includes(name) ? name : `${ns}:${name}`));
  const item = await subscription.monitor(
    { nodeId: "ns=0;i=2253", attributeId: AttributeIds.EventNotifier },
    { samplingInterval: 0, queueSize: 100, discardOldest: true, filter: constructEventFilter(paths, ofType(typeId)) },
    TimestampsToReturn.Both,
  );
  item.on("changed", (fields) => heard.push(fields));
  return heard;
}

async function until(holds, what) {
  const end = Date.now() + 20000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within 20 s: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

function plain(variant) {
  const value = variant.value;
  if (variant.dataType === DataType.Null || value === null || value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return value.toString("hex");
  if (Array.isArray(value)) return value.map((one) => (one instanceof Variant ? plain(one) : (one?.toJSON?.() ?? one)));
  return value?.toJSON?.() ?? value?.text ?? value?.toString?.() ?? value;
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
