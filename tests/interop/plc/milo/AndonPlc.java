// A line controller in Eclipse Milo, written from docs/handshake.md and docs/signals.md alone.
//
// java -cp 'JARS/*' AndonPlc.java port=4840 boot=1 parts=50 prefix=a window_ms=2000 ...
// prints one JSON object a line: listening, trigger, result, default, done.

import static org.eclipse.milo.opcua.stack.core.types.builtin.unsigned.Unsigned.uint;
import static org.eclipse.milo.opcua.stack.core.types.builtin.unsigned.Unsigned.ushort;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.eclipse.milo.opcua.sdk.core.AccessLevel;
import org.eclipse.milo.opcua.sdk.server.OpcUaServer;
import org.eclipse.milo.opcua.sdk.server.api.DataItem;
import org.eclipse.milo.opcua.sdk.server.api.ManagedNamespaceWithLifecycle;
import org.eclipse.milo.opcua.sdk.server.api.MonitoredItem;
import org.eclipse.milo.opcua.sdk.server.api.config.OpcUaServerConfig;
import org.eclipse.milo.opcua.sdk.server.nodes.UaFolderNode;
import org.eclipse.milo.opcua.sdk.server.nodes.UaVariableNode;
import org.eclipse.milo.opcua.sdk.server.util.SubscriptionModel;
import org.eclipse.milo.opcua.stack.core.AttributeId;
import org.eclipse.milo.opcua.stack.core.Identifiers;
import org.eclipse.milo.opcua.stack.core.security.DefaultCertificateManager;
import org.eclipse.milo.opcua.stack.core.security.SecurityPolicy;
import org.eclipse.milo.opcua.stack.core.transport.TransportProfile;
import org.eclipse.milo.opcua.stack.core.types.builtin.DataValue;
import org.eclipse.milo.opcua.stack.core.types.builtin.DateTime;
import org.eclipse.milo.opcua.stack.core.types.builtin.LocalizedText;
import org.eclipse.milo.opcua.stack.core.types.builtin.NodeId;
import org.eclipse.milo.opcua.stack.core.types.builtin.Variant;
import org.eclipse.milo.opcua.stack.core.types.enumerated.MessageSecurityMode;
import org.eclipse.milo.opcua.stack.core.types.structured.BuildInfo;
import org.eclipse.milo.opcua.stack.server.EndpointConfiguration;

public final class AndonPlc {
  static final int HEARTBEAT_MS = 500;
  static final Map<String, String> OPTIONS = new HashMap<>();
  static final Map<String, NodeId> KINDS =
      Map.of(
          "Boolean", Identifiers.Boolean, "String", Identifiers.String, "Int32", Identifiers.Int32,
          "UInt32", Identifiers.UInt32, "UInt16", Identifiers.UInt16, "Float", Identifiers.Float,
          "DateTime", Identifiers.DateTime);
  static final String[] PLC = {
    "TriggerEnable:Boolean", "PartId:String", "LotId:String", "ProductId:String", "EncoderPos:Int32",
    "TaktMs:UInt32", "TriggerSeq:UInt32", "ResultAckSeq:UInt32", "RecipeReqSeq:UInt32",
    "FaultResetSeq:UInt32", "RecipeReq:UInt16", "PlcHeartbeat:UInt32", "PlcBootId:UInt32",
  };
  static final String[] GATEWAY = {
    "Online:Boolean", "Ready:Boolean", "Busy:Boolean", "ResultOverrun:Boolean", "StopRequest:Boolean",
    "TriggerAckSeq:UInt32", "ExposureDoneSeq:UInt32", "MissedCount:UInt32", "ResultTriggerSeq:UInt32",
    "ResultPartId:String", "ResultCode:UInt16", "ReasonCode:UInt16", "DecisionSource:UInt16",
    "PendingResults:UInt16", "FaultCode:UInt16", "RecipeActive:UInt16", "ClassId:Int32", "Score:Float",
    "ResultTime:DateTime", "ResultSeq:UInt32", "RecipeAckSeq:UInt32", "VisionHeartbeat:UInt32",
  };

  final Map<String, UaVariableNode> nodes = new LinkedHashMap<>();
  final Map<Long, Long> open = new ConcurrentHashMap<>(); // TriggerSeq: when it was given
  final ScheduledExecutorService timers = Executors.newScheduledThreadPool(2);
  final long boot = number("boot", 1);
  final long windowMs = number("window_ms", 2000);
  volatile long beatAt;
  long taken;

  static String option(String name, String otherwise) {
    return OPTIONS.getOrDefault(name, otherwise);
  }

  static long number(String name, long otherwise) {
    return Long.parseLong(option(name, Long.toString(otherwise)));
  }

  public static void main(String[] words) throws Exception {
    for (String word : words) OPTIONS.put(word.split("=", 2)[0], word.split("=", 2)[1]);
    new AndonPlc().run();
  }

  synchronized void say(String event, Object... more) {
    StringBuilder row = new StringBuilder("{\"event\": \"" + event + "\", \"boot\": " + boot);
    row.append(", \"at\": ").append(System.currentTimeMillis());
    for (int i = 0; i < more.length; i += 2) {
      Object value = more[i + 1];
      row.append(", \"").append(more[i]).append("\": ");
      row.append(value instanceof String ? "\"" + value + "\"" : String.valueOf(value));
    }
    System.out.println(row.append("}"));
  }

  void run() throws Exception {
    OpcUaServer server = new OpcUaServer(config((int) number("port", 4840)));
    String[] uris = option("namespaces", "urn:andon:line").split(",");
    for (int i = 0; i < uris.length - 1; i++) server.getNamespaceTable().addUri(uris[i]);
    new Signals(server, uris[uris.length - 1]).startup();
    server.startup().get();
    timers.scheduleAtFixedRate(this::beat, 0, HEARTBEAT_MS, TimeUnit.MILLISECONDS);
    say("listening");
    play();
  }

  static OpcUaServerConfig config(int port) {
    EndpointConfiguration endpoint =
        EndpointConfiguration.newBuilder()
            .setBindAddress("127.0.0.1")
            .setBindPort(port)
            .setHostname("127.0.0.1")
            .setPath("")
            .setTransportProfile(TransportProfile.TCP_UASC_UABINARY)
            .setSecurityPolicy(SecurityPolicy.None)
            .setSecurityMode(MessageSecurityMode.None)
            .addTokenPolicies(OpcUaServerConfig.USER_TOKEN_POLICY_ANONYMOUS)
            .build();
    return OpcUaServerConfig.builder()
        .setApplicationUri("urn:andon:tests:milo")
        .setProductUri("urn:andon:tests:milo")
        .setApplicationName(LocalizedText.english("A line controller in Eclipse Milo"))
        .setBuildInfo(new BuildInfo("", "", "", "", "", DateTime.now()))
        .setCertificateManager(new DefaultCertificateManager())
        .setEndpoints(Set.of(endpoint))
        .build();
  }

  Object get(String name) {
    return nodes.get(name).getValue().getValue().getValue();
  }

  long count(String name) {
    return ((Number) get(name)).longValue();
  }

  void put(String name, Object value) {
    nodes.get(name).setValue(new DataValue(new Variant(value)));
  }

  void beat() {
    put("PlcHeartbeat", uint((count("PlcHeartbeat") + 1) & 0xFFFFFFFFL));
    if (!alive()) open.keySet().forEach(seq -> byDefault(seq, "gateway_dead"));
  }

  boolean alive() {
    return System.currentTimeMillis() - beatAt < 3 * HEARTBEAT_MS;
  }

  boolean mayTrigger() {
    boolean ready = (Boolean) get("Online") && (Boolean) get("Ready");
    return ready && alive() && count("TriggerAckSeq") == count("TriggerSeq");
  }

  void byDefault(long seq, String why) {
    if (open.remove(seq) != null) say("default", "trigger_seq", seq, "why", why);
  }

  synchronized void takeResult() {
    long seq = count("ResultSeq");
    if (seq == 0 || seq == taken) return;
    taken = seq;
    long of = count("ResultTriggerSeq");
    Long since = open.remove(of);
    say(
        "result", "trigger_seq", of, "result_seq", seq, "part_id", get("ResultPartId"),
        "code", count("ResultCode"), "reason", count("ReasonCode"), "source", count("DecisionSource"),
        "in_window", since != null, "ms", since == null ? null : System.currentTimeMillis() - since);
    put("ResultAckSeq", uint(seq));
  }

  void play() throws InterruptedException {
    Random random = new Random(number("seed", 1));
    long least = number("least_gap_ms", 0);
    long most = number("most_gap_ms", 100);
    for (long n = 0; n < number("parts", 10); ) {
      while (!mayTrigger()) Thread.sleep(2);
      Thread.sleep(least + (long) (random.nextDouble() * (most - least)));
      if (!mayTrigger()) continue;
      n++;
      long seq = count("TriggerSeq") % 4294967295L + 1;
      String part = option("prefix", "part") + "-" + boot + "-" + seq;
      put("PartId", part);
      put("LotId", "lot");
      put("ProductId", "demo");
      put("EncoderPos", (int) (seq * 1000) & 0x7fffffff);
      put("TaktMs", uint(windowMs));
      open.put(seq, System.currentTimeMillis());
      say("trigger", "trigger_seq", seq, "part_id", part);
      put("TriggerSeq", uint(seq));
      timers.schedule(() -> byDefault(seq, "window"), windowMs, TimeUnit.MILLISECONDS);
    }
    while (!open.isEmpty()) Thread.sleep(5);
    say("done");
  }

  final class Signals extends ManagedNamespaceWithLifecycle {
    private final SubscriptionModel subscriptions;

    Signals(OpcUaServer server, String uri) {
      super(server, uri);
      subscriptions = new SubscriptionModel(server, this);
      getLifecycleManager().addLifecycle(subscriptions);
      getLifecycleManager().addStartupTask(this::makeNodes);
    }

    private void makeNodes() {
      UaFolderNode folder =
          new UaFolderNode(
              getNodeContext(), newNodeId("Andon"), newQualifiedName("Andon"),
              LocalizedText.english("Andon"));
      getNodeManager().addNode(folder);
      folder.addReference(
          new org.eclipse.milo.opcua.sdk.core.Reference(
              folder.getNodeId(), Identifiers.Organizes, Identifiers.ObjectsFolder.expanded(), false));
      for (String row : PLC) make(folder, row, AccessLevel.READ_ONLY);
      for (String row : GATEWAY) make(folder, row, AccessLevel.READ_WRITE);
      put("PlcBootId", uint(boot));
      put("TaktMs", uint(windowMs));
      put("ClassId", -1);
      watch("VisionHeartbeat", () -> beatAt = System.currentTimeMillis());
      watch("ResultSeq", AndonPlc.this::takeResult);
    }

    private void make(UaFolderNode folder, String row, Set<AccessLevel> access) {
      String name = row.split(":")[0];
      String kind = row.split(":")[1];
      UaVariableNode node =
          new UaVariableNode.UaVariableNodeBuilder(getNodeContext())
              .setNodeId(newNodeId("Andon." + name))
              .setBrowseName(newQualifiedName(name))
              .setDisplayName(LocalizedText.english(name))
              .setDataType(KINDS.get(kind))
              .setTypeDefinition(Identifiers.BaseDataVariableType)
              .setAccessLevel(access)
              .setUserAccessLevel(access)
              .setMinimumSamplingInterval((double) number("sampling_ms", 0))
              .build();
      node.setValue(new DataValue(new Variant(first(kind))));
      getNodeManager().addNode(node);
      folder.addOrganizes(node);
      nodes.put(name, node);
    }

    private Object first(String kind) {
      switch (kind) {
        case "Boolean": return false;
        case "String": return "";
        case "Int32": return 0;
        case "UInt32": return uint(0);
        case "UInt16": return ushort(0);
        case "Float": return 0.0f;
        default: return DateTime.MIN_VALUE;
      }
    }

    private void watch(String name, Runnable todo) {
      nodes.get(name).addAttributeObserver(
          (node, attribute, value) -> {
            if (attribute == AttributeId.Value) todo.run();
          });
    }

    @Override
    public void onDataItemsCreated(List<DataItem> items) {
      subscriptions.onDataItemsCreated(items);
    }

    @Override
    public void onDataItemsModified(List<DataItem> items) {
      subscriptions.onDataItemsModified(items);
    }

    @Override
    public void onDataItemsDeleted(List<DataItem> items) {
      subscriptions.onDataItemsDeleted(items);
    }

    @Override
    public void onMonitoringModeChanged(List<MonitoredItem> items) {
      subscriptions.onMonitoringModeChanged(items);
    }
  }
}
