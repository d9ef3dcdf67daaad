"""Whether a connection that leaves this host can be read or taken over on the network."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from andon.checks.findings import CheckWarned
from andon.settings import Settings
from history.database_url import read_database_url
from streams.addresses import is_loopback, read_host_port

REMEDY = "docs/security.md, Checklist: what to switch on"


async def check_exposure(settings: Settings) -> str:
    """Every connection beyond this host is encrypted, and its server is known."""
    if found := list(exposed(settings)):
        raise CheckWarned("; ".join(found), REMEDY)
    return "what leaves this host is encrypted"


def exposed(settings: Settings) -> Iterator[str]:
    """The connections that leave this host in plain text, with the setting to change: pure."""
    kafka, gateway, s3 = settings.kafka, settings.gateway, settings.s3
    if kafka.is_open:
        yield (
            f"Kafka {kafka.bootstrap_servers} in plain text, without a login: whoever reaches it "
            "decides parts (ANDON_KAFKA__SECURITY_PROTOCOL=SASL_SSL)"
        )
    plc = urlsplit(gateway.plc_url).hostname or ""
    if gateway.security_policy == "None" and not is_loopback(plc):
        yield (
            f"OPC UA {gateway.plc_url} unencrypted: results can be forged on the way "
            "(ANDON_GATEWAY__SECURITY_POLICY=Basic256Sha256)"
        )
    database = read_database_url(settings.postgres.url.get_secret_value())
    host, mode = urlsplit(database.url).hostname or "", database.sslmode or "prefer"
    if not is_loopback(host) and not mode.startswith("verify"):
        yield (
            f"PostgreSQL {host} by sslmode={mode}: its certificate is not checked "
            "(?sslmode=verify-full in ANDON_POSTGRES__URL)"
        )
    if not s3.secure and not is_loopback(read_host_port(s3.endpoint, "127.0.0.1:9000", 80).host):
        yield f"the object store {s3.endpoint} in plain text (https:// in ANDON_S3__ENDPOINT)"
    ingress = settings.serve.ingress
    if not is_loopback(read_host_port(ingress, "127.0.0.1:16380").host):
        yield (
            f"Serve {ingress} in plain text, pictures and Ray's token: nothing encrypts it but a "
            "network of its own or a tunnel (docs/security.md)"
        )
    mqtt = settings.mqtt.place
    if mqtt.scheme == "mqtt" and not is_loopback(mqtt.host):
        yield f"MQTT {mqtt} in plain text (mqtts:// in ANDON_MQTT__URL)"
    traces = urlsplit(settings.tracing.otlp_endpoint)
    if traces.scheme == "http" and not is_loopback(traces.hostname or ""):
        yield (
            f"traces to {traces.netloc} in plain text (https:// in ANDON_TRACING__OTLP_ENDPOINT)"
        )
