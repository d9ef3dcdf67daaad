"""Settings that nobody wrote on purpose: sound files and variables with something wrong in them."""

import random

from andon.settings import Settings
from andon.settings_names import variables_of

FILE = """# a plant's settings
[kafka]
bootstrap_servers = "broker1:9092,broker2:9092"
partitions = 4
[postgres]
url = "postgresql://andon:pw@db:5432/andon?sslmode=require"
[s3]
endpoint = "https://minio:9000"
[gateway]
line = "Linie 1"
plc_url = "opc.tcp://plc:4840"
camera = "opencv:rtsp://user:pw@camera/live"
recipes = { 1 = "tile", 2 = { product = "board", camera_features = { Gain = 2.5 } } }
[[classifier.endpoints]]
name = "llm"
base_url = "https://llm.example.com/v1"
model = "m"
temperature = 0.0
"""
ENV = """export ANDON_KAFKA__PARTITIONS=3
ANDON_LOG_LEVEL="debug"
ANDON_CLASSIFIER__CASCADE__THRESHOLDS={"prototypes": 0.8}
"""
ODD = [
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xe4", b"'", b'"', b"[", b"]", b"{", b"}", b"=", b"\\",
    b"\r", b"\n", b"#", b"\xe2\x80\x9c", b"\xf0\x9f\x94\xa7", b"1e999", b"-0", b"nan", b"null",
    b"true", b"9" * 400, b"[" * 300, b"://", b"@", b"?", b"__", b"1979-05-27", b"0x", b"${HOME}",
]  # fmt: skip
VALUES = [
    "", " ", "0", "-1", "1e999", "nan", "null", "true", "[]", "{}", '{"a": [', '"x"', "x" * 5000,
    "[" * 2000, "http://[::1", "://", "a:b:c", "ä", "\ud800", "9" * 5000, "postgres://@:/", "s3://",
    "opc.tcp://", "[[1, 2]]", '{"__": 1}', "127.0.0.1", "host:99999", "1,2", "folder:", "\t\n",
    '[{"name": 1}]', '{"1": {"2": 3}}', "rtsp://u:p@h", "http://u:p@h:1/v1?key=1#f",
]  # fmt: skip


def changed(data: bytes, rng: random.Random) -> bytes:
    """Bytes taken out, doubled, replaced or put in, at one to six places."""
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data = data[:at] + data[at + rng.randint(1, 12) :]
            case 1:
                data = data[:at] + rng.choice(ODD) + data[at:]
            case 2:
                data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
            case 3:
                data = data[:at] + data[at : at + 30] + data[at:]
            case _:
                lines = data.splitlines(keepends=True)
                rng.shuffle(lines)
                data = b"".join(lines)
    return data


def mutated(seed: int) -> tuple[bytes, bytes, dict[str, str]]:
    """``andon.toml``, ``.env`` and the environment of one mutation."""
    rng = random.Random(seed)
    toml, env = FILE.encode(), ENV.encode()
    toml = changed(toml, rng) if rng.random() < 0.6 else toml
    env = changed(env, rng) if rng.random() < 0.3 else env
    names = sorted(variables_of(Settings))
    given = {
        misspelt(name, rng): rng.choice(VALUES) for name in rng.sample(names, rng.randrange(3))
    }
    return toml, env, {name: value for name, value in given.items() if "\ud800" not in value}


def misspelt(name: str, rng: random.Random) -> str:
    """A setting's variable, one time in four as people mistype it."""
    at = rng.randrange(len("ANDON_"), len(name))
    wrong = (
        name[:at] + name[at + 1 :],
        name[:at] + name[at - 1] + name[at:],
        name.replace("__", "_", 1),
        name + "S",
    )
    return rng.choice(wrong) if rng.random() < 0.25 else name
