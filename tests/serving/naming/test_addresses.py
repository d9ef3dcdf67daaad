"""Addresses of endpoints as people paste them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.naming.addresses import AddressError, read_address

V1 = "https://llm.example.com/v1"


@pytest.mark.parametrize(
    ("given_", "base", "query"),
    [
        (V1, V1, ()),
        (f"{V1}/", V1, ()),
        (f"{V1}/chat/completions", V1, ()),
        (f"{V1}/chat/completions/", V1, ()),
        (f"{V1}/Chat/Completions", V1, ()),
        (f"{V1}/completions", V1, ()),
        (f"{V1}/models", V1, ()),
        (f"{V1}/responses", V1, ()),
        (f"{V1}/embeddings", V1, ()),
        (f"{V1}/v1", V1, ()),
        (f"{V1}//chat//completions", V1, ()),
        (f"  '{V1}'  ", V1, ()),
        (f"<{V1}>", V1, ()),
        ("HTTPS://LLM.Example.com/v1", V1, ()),
        (f"{V1}?", V1, ()),
        (f"{V1}?tenant=a", V1, (("tenant", "a"),)),
        (f"{V1}/chat/completions?tenant=a&x=", V1, (("tenant", "a"), ("x", ""))),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434", ()),
        ("http://[::1]:8000/v1/chat/completions", "http://[::1]:8000/v1", ()),
        (
            "https://r.openai.azure.com/openai/deployments/gpt4o/chat/completions"
            "?api-version=2024-10-21",
            "https://r.openai.azure.com/openai/deployments/gpt4o",
            (("api-version", "2024-10-21"),),
        ),
        ("https://r.openai.azure.com/openai/v1/", "https://r.openai.azure.com/openai/v1", ()),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            (),
        ),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1", ()),
        ("https://api.deepseek.com", "https://api.deepseek.com", ()),
        ("https://gateway.plant/llm/v1", "https://gateway.plant/llm/v1", ()),
    ],
)
def test_what_has_one_meaning_is_mended(
    given_: str, base: str, query: tuple[tuple[str, str], ...]
) -> None:
    address = read_address(given_)
    assert (address.base, address.query) == (base, query)


@pytest.mark.parametrize(
    ("given_", "right"),
    [
        ("llm.example.com/v1", "'https://llm.example.com/v1'"),
        ("localhost:8000/v1", "'http://localhost:8000/v1'"),
        ("127.0.0.1:8000/v1", "'http://127.0.0.1:8000/v1'"),
        ("htp://localhost:8000/v1", "'http://localhost:8000/v1'"),
        ("https:/llm.example.com/v1", "'https://llm.example.com/v1'"),
        ("https//llm.example.com/v1", "'https://llm.example.com/v1'"),
        ("//llm.example.com/v1", "'https://llm.example.com/v1'"),
        ("ws://llm.example.com/v1", "'https://llm.example.com/v1'"),
        ("https://llm.example.com /v1", "'https://llm.example.com/v1'"),
        ("https:\\\\llm.example.com\\v1", "'https://llm.example.com/v1'"),
        ("https://llm.example.com/v1#chat", "'https://llm.example.com/v1'"),
        ("http://localhost:11434/api/generate", "'http://localhost:11434/v1'"),
        ("http://localhost:11434/api/chat", "'http://localhost:11434/v1'"),
        ("http://localhost:8000/docs", "'http://localhost:8000/v1'"),
        ("http://localhost:8000/v1/docs", "'http://localhost:8000/v1'"),
        ("https://api.anthropic.com/v1/messages", "'https://api.anthropic.com/v1'"),
        ("https://api.openai.com", "'https://api.openai.com/v1'"),
        ("https://api.groq.com/openai", "'https://api.groq.com/openai/v1'"),
        ("https://openrouter.ai", "'https://openrouter.ai/api/v1'"),
        ("https://platform.openai.com/docs", "/v1'"),
        ("https://chatgpt.com", "'https://api.openai.com/v1'"),
        (
            "https://generativelanguage.googleapis.com/v1beta",
            "'https://generativelanguage.googleapis.com/v1beta/openai'",
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-x:generateContent",
            "'https://generativelanguage.googleapis.com/v1beta/openai'",
        ),
        ("https://r.openai.azure.com", "'https://r.openai.azure.com/openai/v1'"),
        ("https://r.openai.azure.com/openai/", "'https://r.openai.azure.com/openai/v1'"),
        ("https://r.openai.azure.com/openai/deployments/g", "deployments/g?api-version="),
        ("https://<resource>.openai.azure.com/openai/v1", "placeholder"),
        ("https://${HOST}/v1", "placeholder"),
        ("https://{host}/v1", "placeholder"),
        ("https://user:sk-secret@llm.example.com/v1", "api_key_env"),
        ("https://llm.example.com/v1?key=sk-secret", "api_key_env"),
        ("https://llm.example.com/v1?subscription-key=sk-secret", "api_key_env"),
        ("https://llm.example.com:port/v1", "https://host:port/v1"),
        ("https://llm.example.com:99999/v1", "https://host:port/v1"),
        ("https://llm..example.com/v1", "no host name"),
        ("https://", "https://host/v1"),
        ("", "https://host/v1"),
    ],
)
def test_the_rest_is_refused_with_the_right_one(given_: str, right: str) -> None:
    with pytest.raises(AddressError) as refused:
        read_address(given_)
    assert right in str(refused.value)
    assert "sk-secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("given_", "is_mended"),
    [(V1, False), (f"{V1}/", False), (f"{V1}?a=b", False), (f"{V1}/chat/completions", True)],
)
def test_a_mended_address_says_so(given_: str, is_mended: bool) -> None:
    assert read_address(given_).is_mended == is_mended


@example("HTTP://0/</")
@example("http://0/'/chat/completions")
@given(st.text(max_size=60) | st.from_regex(r"https?://[!-~]{0,40}", fullmatch=True))
def test_any_text_is_an_address_or_an_error_of_ours(text: str) -> None:
    try:
        address = read_address(text)
    except AddressError:
        return
    assert address.base.startswith(("http://", "https://"))
    again = read_address(address.base)
    assert again.base == address.base, "what was mended needs no mending"
