"""Addresses of services in the forms that their communities use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.addresses import read_host_port, read_opcua_url, read_servers


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        ("a:9092", "a:9092"),
        ("a", "a:9092"),
        (" a:9092 , b:9093 ", "a:9092,b:9093"),
        ("a:1;b:2", "a:1,b:2"),
        ("a:1 b:2", "a:1,b:2"),
        ("a:1,", "a:1"),
        ("['a:1','b:2']", "a:1,b:2"),
        ('["a:1", "b:2"]', "a:1,b:2"),
        ("'a:1'", "a:1"),
        ("PLAINTEXT://a:1", "a:1"),
        ("plaintext://a:1,PLAINTEXT://b:2", "a:1,b:2"),
        ("kafka://a:1", "a:1"),
        ("kafka://a", "a:9092"),
        ("tcp://a:1/", "a:1"),
        ("127.0.0.1:19092", "127.0.0.1:19092"),
        ("[::1]:9092", "[::1]:9092"),
        ("[::1]", "[::1]:9092"),
        ("kafka-0.kafka.svc.cluster.local:9092", "kafka-0.kafka.svc.cluster.local:9092"),
        ("host_with_underscore:9092", "host_with_underscore:9092"),
        ("a:1\n", "a:1"),
    ],
)
def test_brokers(given_: str, read: str) -> None:
    assert read_servers(given_) == read


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ("", "names no server"),
        (",", "names no server"),
        ("SSL://a:9093", "SECURITY_PROTOCOL; write 'a:9093' alone"),
        ("SASL_SSL://a:9093", "SASL_SSL:// is said by"),
        ("http://a:9092", "write 'a:9092'"),
        ("a:b", "its port is no number"),
        ("a:0", "its port is no number"),
        ("a:99999", "its port is no number"),
        ("user:pw@a:9092", "a user or password"),
        ("a:9092/topic", "write 'a:9092' alone"),
        ("::1:9092", "in brackets"),
        ("a..b:9092", "names no host"),
    ],
)
def test_brokers_that_cannot_be_meant(given_: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_servers(given_)


@pytest.mark.parametrize(
    ("given_", "right"),
    [
        ("opc.tcp://plc:4840", "opc.tcp://plc:4840"),
        ("opc.tcp://plc", "opc.tcp://plc"),
        ("OPC.TCP://plc:4840/andon", "opc.tcp://plc:4840/andon"),
        (" 'opc.tcp://10.0.0.1:4840/' ", "opc.tcp://10.0.0.1:4840/"),
        ("opc.tcp://[::1]:4840", "opc.tcp://[::1]:4840"),
    ],
)
def test_controllers(given_: str, right: str) -> None:
    assert read_opcua_url(given_) == right


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ("plc:4840", "write 'opc.tcp://plc:4840'"),
        ("plc", "write 'opc.tcp://plc:4840'"),
        ("opc.tcp:/plc:4840", "write 'opc.tcp://plc:4840'"),
        ("opc.tcp:plc", "write 'opc.tcp://plc:4840'"),
        ("http://plc:4840", "write 'opc.tcp://plc:4840'"),
        ("opc.https://plc:443", "write 'opc.tcp://plc:443'"),
        ("opc.tcp://plc:port", "its port is no number"),
        ("opc.tcp://", "is no address"),
        ("", "is no address"),
    ],
)
def test_controllers_that_cannot_be_meant(given_: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_opcua_url(given_)


@given(st.text(max_size=40) | st.from_regex(r"[a-z:/@\[\].?#\d]{0,30}", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (read_servers, read_opcua_url, lambda t: str(read_host_port(t, "a:1", 1))):
        try:
            again = read(text)
        except ValueError:
            continue
        assert read(again) == again
