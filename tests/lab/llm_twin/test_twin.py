"""The twin refuses what the real API refuses, and answers in its form."""

import base64
import json
from typing import Any

import numpy as np
import openai
import pytest

from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.completions import tokenize
from lab.llm_twin.errors import ApiError
from lab.llm_twin.responders import HeuristicResponder, ManifestResponder, region_traits
from lab.llm_twin.schema import check_response_format
from lab.llm_twin.server import TwinServer
from lab.llm_twin.validation import decode_picture, parse_request, picture_digest
from serving.naming.settings import VisualSettings
from serving.naming.visual import encode, make_pictures
from tests.lab.llm_twin.kit import crack, png, pore, region_of, surface

MODELS = frozenset({"twin"})


def url(data: bytes | None = None, kind: str = "image/png") -> str:
    body = png(surface(0)) if data is None else data
    return f"data:{kind};base64,{base64.b64encode(body).decode()}"


def body(**changes: Any) -> dict[str, Any]:
    content = [
        {"type": "text", "text": "json?"},
        {"type": "image_url", "image_url": {"url": url()}},
    ]
    return {"model": "twin", "messages": [{"role": "user", "content": content}]} | changes


def pictured(image_url: Any, role: str = "user") -> dict[str, Any]:
    part = {"type": "image_url", "image_url": image_url}
    return body(messages=[{"role": role, "content": [part]}])


def schema(**changes: Any) -> dict[str, Any]:
    inner = {
        "type": "object",
        "properties": {"class": {"type": "string", "enum": ["a", "b"]}},
        "required": ["class"],
        "additionalProperties": False,
    }
    wrapper = {"name": "answer", "strict": True, "schema": inner | changes}
    return {"type": "json_schema", "json_schema": wrapper}


def test_a_good_request_is_read() -> None:
    parsed = parse_request(body(response_format=schema(), logprobs=True, top_logprobs=3), MODELS)
    assert parsed.choices == ("a", "b")
    assert parsed.pictures[0].pixels.shape == (120, 160, 3)
    assert parsed.prompt_tokens == 255 + 2
    assert parsed.top_logprobs == 3


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([], "parse the JSON body"),
        (body(model=7), "model parameter"),
        (body(messages=[]), "'messages': List should have at least 1 item"),
        (body(messages=[{"role": "boss", "content": "x"}]), "role"),
        (body(messages=[{"role": "user", "content": 7}]), "content"),
        (body(messages=[{"role": "user", "content": [{"type": "image"}]}]), "type"),
        (body(temperature=3), "temperature"),
        (body(temperature="0"), "temperature"),
        (body(top_logprobs=3), "logprobs"),
        (body(logprobs=True, top_logprobs=21), "top_logprobs"),
        (body(max_tokens=0), "max_tokens"),
        (body(max_tokens=9, max_completion_tokens=9), "not both"),
        (body(colour="red"), "colour"),
        (body(response_format={"type": "json"}), "response_format"),
        (pictured("x"), "image_url"),
        (pictured({"url": "https://example.com/a.png"}), "data URL"),
        (pictured({"url": url(kind="image/tiff")}), "data URL"),
        (pictured({"url": url(kind="image/jpeg")}), "media type"),
        (pictured({"url": url(b"\x89PNG\r\n\x1a\nrest")}), "unsupported image"),
        (pictured({"url": "data:image/png;base64,%%%"}), "unsupported image"),
        (pictured({"url": url(), "detail": "ultra"}), "detail"),
        (pictured({"url": url(), "size": 3}), "Unknown parameter"),
        (pictured({"url": url()}, role="system"), "role 'user'"),
    ],
)
def test_a_bad_request_is_refused(request_: Any, message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        parse_request(request_, MODELS)
    assert caught.value.status == 400
    assert caught.value.body["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(ApiError) as caught:
        parse_request(body(model="gpt-9"), MODELS)
    assert (caught.value.status, caught.value.body["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"additionalProperties": True}, "additionalProperties"),
        ({"required": []}, "required"),
        ({"type": "array"}, 'type: "object"'),
        ({"properties": {"class": {"enum": []}}}, "non-empty"),
        ({"properties": {"class": {"type": "string", "enum": ["a", "a"]}}}, "unique"),
        ({"properties": {"class": {"type": "text"}}}, "not a valid type"),
        ({"properties": {"class": {}}}, "'type' key"),
        ({"properties": {"class": {"type": "array"}}}, "items"),
        ({"properties": {"class": {"oneOf": []}}}, "oneOf"),
        (
            {"properties": {"class": {"type": "string", "enum": list(map(str, range(1001)))}}},
            "1000",
        ),
    ],
)
def test_the_strict_subset(changes: dict[str, Any], message: str) -> None:
    check_response_format(schema())
    with pytest.raises(ApiError, match=message):
        check_response_format(schema(**changes))


def test_names_of_schemas() -> None:
    form = schema()
    form["json_schema"]["name"] = "no spaces"
    with pytest.raises(ApiError, match=r"json_schema\.name"):
        check_response_format(form)


def test_the_digest_survives_encoding() -> None:
    image = surface(1)
    assert picture_digest(decode_picture(png(image))) == picture_digest(image)
    assert picture_digest(image) != picture_digest(surface(2))


@pytest.mark.parametrize("encoding", ["png", "jpeg"])
def test_it_measures_what_is_outlined(encoding: Any) -> None:
    settings = VisualSettings(encoding=encoding)
    found = []
    for image, mask in (crack(), pore()):
        pictures = make_pictures(png(image), png(surface(9)), region_of(mask), settings)
        traits = region_traits([decode_picture(p) for p in pictures.items])
        assert traits is not None
        found.append(traits)
    line, spot = found
    assert line.elongation > 4 > 2 > spot.elongation
    assert line.darkness > 0.05
    assert not spot.touches_edge


def test_a_picture_seen_before_is_still_checked_as_what_it_claims_to_be() -> None:
    good = pictured({"url": url()})
    first, again = parse_request(good, MODELS), parse_request(good, MODELS)
    assert again.pictures[0].pixels is first.pictures[0].pixels
    assert not first.pictures[0].pixels.flags.writeable
    low = pictured({"url": url(), "detail": "low"})
    assert parse_request(low, MODELS).pictures[0].tokens == 85 < first.pictures[0].tokens
    with pytest.raises(ApiError, match="media type"):
        parse_request(pictured({"url": url(kind="image/jpeg")}), MODELS)


def test_a_picture_over_the_limit_is_refused_before_it_is_decoded() -> None:
    large = "A" * ((20 << 20) // 3 * 4 + 8)
    with pytest.raises(ApiError, match="20 MB") as caught:
        parse_request(pictured({"url": f"data:image/png;base64,{large}"}), MODELS)
    assert caught.value.body["error"]["code"] == "image_too_large"


def test_without_an_outline_it_does_not_know() -> None:
    parsed = parse_request(body(response_format=schema()), MODELS)
    assert region_traits([p.pixels for p in parsed.pictures]) is None
    assert HeuristicResponder().respond(parsed).choice in parsed.choices


def test_the_manifest_is_right_as_often_as_told() -> None:
    tiny = VisualSettings(side_px=64)
    encoded = [encode(surface(i, 16, 16), tiny) for i in range(300)]
    truth = {picture_digest(decode_picture(e)): "a" for e in encoded}
    responder = ManifestResponder(truth, accuracy=0.6, seed=5)
    choices = []
    for data in encoded:
        asked = pictured({"url": url(data)}) | {"response_format": schema()}
        parsed = parse_request(asked, MODELS)
        opinion = responder.respond(parsed)
        assert opinion == responder.respond(parsed)
        assert sum(opinion.probabilities.values()) == pytest.approx(1)
        choices.append(opinion.choice)
    assert np.mean([c == "a" for c in choices]) == pytest.approx(0.6, abs=0.08)


@pytest.mark.parametrize("text", ['{"class": "gas pore"}', "", "ü \n x\"y'z", '{"a":"b c-d_e"}'])
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokenize(text)) == text


def test_the_sdk_raises_its_own_errors(server: TwinServer) -> None:
    """The shape of errors is right: the SDK recognises them."""
    client = openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0)
    message: Any = {"role": "user", "content": "hello"}
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="none", messages=[message])
    assert caught.value.code == "model_not_found"
    server.twin.behaviour = Behaviour(rate_limit_rate=1, retry_after_s=3)
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(model="twin", messages=[message])
    assert limited.value.response.headers["retry-after"] == "3"
    server.twin.behaviour = Behaviour(api_key="secret")
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="twin", messages=[message])
    server.twin.behaviour = Behaviour()
    assert "twin" in {m.id for m in client.models.list()}
    client.close()


def test_behaviour_and_counters_over_http(server: TwinServer) -> None:
    import urllib.request

    base = server.base_url.removesuffix("/v1")
    change = urllib.request.Request(f"{base}/twin/behaviour", b'{"latency_ms": 7}', method="PATCH")
    with urllib.request.urlopen(change) as response:
        assert json.load(response)["latency_ms"] == 7
    assert server.twin.behaviour.latency_ms == 7
    with urllib.request.urlopen(f"{base}/twin/counters") as response:
        assert json.load(response)["requests"] == 0
