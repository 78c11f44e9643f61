"""parse_source: one box for everything, and spell_source, its inverse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.importing import (
    ACCEPTED,
    Civitai,
    FileHash,
    HuggingFace,
    Source,
    SourceUnclear,
    WebFile,
    parse_source,
    picture_sources,
    spell_source,
)

SHA = "0123456789abcdef" * 4

READ: list[tuple[str, Source]] = [
    ("https://civitai.com/models/12345", Civitai(12345)),
    ("https://civitai.com/models/12345/ink-style?modelVersionId=67890", Civitai(12345, 67890)),
    ("  <https://www.civitai.com/models/12345#comments> ", Civitai(12345)),
    ("civitai.com/models/12345", Civitai(12345)),
    ("http://civitai.com/models/12345", Civitai(12345)),
    ("https://civitai.red/models/12345?modelVersionId=67890", Civitai(12345, 67890, mature=True)),
    ("https://civitai.green/models/12345", Civitai(12345)),
    ("https://civitai.com/model-versions/67890", Civitai(None, 67890)),
    ("https://civitai.com/api/download/models/67890?type=Model&format=SafeTensor", Civitai(None, 67890)),
    ("https://civitai.com/api/download/models/67890?fileId=5&token=x", Civitai(None, 67890, 5)),
    ("https://civitai.com/api/v1/models/12345", Civitai(12345)),
    ("https://civitai.com/api/v1/model-versions/67890", Civitai(None, 67890)),
    ("12345@67890", Civitai(12345, 67890)),
    ("urn:air:sd1:lora:civitai:12345@67890", Civitai(12345, 67890)),
    ("urn:air:sd15:lora:civitai:12345@67890", Civitai(12345, 67890)),
    ("URN:AIR:SD1:LoRA:Civitai:12345@67890", Civitai(12345, 67890)),
    ("air:sdxl:lycoris:civitai:12345@67890+5.safetensor", Civitai(12345, 67890, 5)),
    ("sd1:dora:civitai:12345", Civitai(12345)),
    ("urn:air:sd1:lora:huggingface:Owner/Repo@Main", HuggingFace("Owner/Repo", "", "Main")),
    (SHA, FileHash(SHA)),
    (SHA.upper(), FileHash(SHA)),
    (f"0x{SHA}", FileHash(SHA)),
    ("A1B2C3D4E5", FileHash("a1b2c3d4e5")),
    ("a1b2c3d4e5f6", FileHash("a1b2c3d4e5f6")),
    ("owner/repo", HuggingFace("owner/repo")),
    ("hf:owner/repo", HuggingFace("owner/repo")),
    ("owner/repo@v1.0", HuggingFace("owner/repo", "", "v1.0")),
    ("owner/repo/x.safetensors", HuggingFace("owner/repo", "x.safetensors")),
    ("owner/repo/sub/x.safetensors@refs/pr/1", HuggingFace("owner/repo", "sub/x.safetensors", "refs/pr/1")),
    ("owner/repo@v1/x.safetensors", HuggingFace("owner/repo", "x.safetensors", "v1")),
    ("https://huggingface.co/owner/repo", HuggingFace("owner/repo")),
    ("https://hf.co/owner/repo/tree/v1/sub", HuggingFace("owner/repo", "sub", "v1")),
    ("https://huggingface.co/owner/repo/blob/main/a%20b.safetensors", HuggingFace("owner/repo", "a b.safetensors")),
    (
        "https://huggingface.co/owner/repo/resolve/refs%2Fpr%2F1/x.safetensors?download=true",
        HuggingFace("owner/repo", "x.safetensors", "refs/pr/1"),
    ),
    ("https://example.com/a/x.safetensors?v=1#top", WebFile("https://example.com/a/x.safetensors?v=1")),
]


@pytest.mark.parametrize(("text", "source"), READ, ids=[text[:60] for text, _ in READ])
def test_a_form_that_is_read(text: str, source: Source) -> None:
    assert parse_source(text) == source
    assert parse_source(spell_source(source)) == source


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing to look up"),
        ("ink", "none of the forms"),
        ("1234567", "none of the forms"),
        ("a" * 63, "none of the forms"),
        ("a b c", "none of the forms"),
        ("https://civitai.com/images/5", "not one of a model"),
        ("https://civitai.com/user/someone", "not one of a model"),
        ("https://civitai.com/models/five", "no number"),
        ("https://civitai.com/models/5?modelVersionId=x", "no number"),
        ("https://civitai.com/models/99999999999999", "no number"),
        ("urn:air:sd1:checkpoint:civitai:1@2", "names a checkpoint"),
        ("urn:air:sd1:lora:orchestrator:1@2", "do not know the source"),
        ("urn:air:sd1:lora:civitai:1@2.pickletensor", "not .safetensors"),
        ("urn:air:sd1:lora:civitai", "none of the forms"),
        ("https://huggingface.co/datasets/owner/name", "not one of a model repository"),
        ("https://huggingface.co/owner", "not one of a model repository"),
        ("https://huggingface.co/owner/repo/discussions/1", "neither a repository nor a file"),
        ("owner/..", "no repository"),
        ("owner/repo/../../x", "no path"),
        ("https://huggingface.co/owner/repo/blob/main/%2e%2e/x.safetensors", "no path"),
        ("https://user:secret@example.com/x", "name or password"),
        ("ftp://example.com/x", "begins with https"),
        ("https://[::1", "no address"),
        ("https:///x", "begins with https"),
        ("x\ny", "no name of a file"),
        ("https://example.com/" + "x" * 3000, "no name of a file"),
    ],
)
def test_a_form_that_is_not_is_told_apart(text: str, words: str) -> None:
    with pytest.raises(SourceUnclear, match=words.replace(".", r"\.")) as refusal:
        parse_source(text)
    assert "secret" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


def test_the_sentence_says_what_is_accepted() -> None:
    with pytest.raises(SourceUnclear) as refusal:
        parse_source("ink")
    assert ACCEPTED in str(refusal.value)


@given(st.one_of(st.text(max_size=80), st.from_regex(r"(?:https://|urn:air:|hf:|[\w./@:+%?=-]){1,20}", fullmatch=True)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        source = parse_source(text)
    except SourceUnclear:
        return
    assert parse_source(spell_source(source)) == source


def test_a_picture_names_adapters_by_hash() -> None:
    named = picture_sources({"ink": "a1b2c3d4e5f6", "neon": "", "light": "A1B2C3D4E5", "old": "a1b2c3d4"})
    assert named.found == {"ink": FileHash("a1b2c3d4e5f6"), "light": FileHash("a1b2c3d4e5")}
    assert named.unclear == ("neon", "old")
