"""Textual inversions: files, what adapters bring along, names in a prompt, and the vectors behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import AdapterInvalid, AdapterMismatch, AdapterUnsupported, PromptError, parse_prompt
from engine.adapters.bank import AdapterBank
from engine.adapters.embedding import MAX_VECTORS, Vocabulary, inversion, read_embedding
from engine.adapters.file import read_adapter
from engine.config import BUILTIN_FOLDER
from engine.folders import embedding_files
from engine.pipeline.chunks import Chunk, Lexicon, chunks_of
from engine.pipeline.conditioning import Conditioner, Embedding, Reading, named
from engine.pipeline.load import load_pipeline

from ..pipeline.test_conditioning import xl as xl

REAL = Path(__file__).parents[2] / "real" / "lora_disney.safetensors"
WIDTH = 96


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def rows(count: int = 1, width: int = WIDTH, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) * 0.05


def write(folder: Path, name: str, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def first(pipeline: Any, text: str, vocabulary: Vocabulary) -> Embedding:
    return Conditioner(pipeline).schedule(parse_prompt(text), 1, Reading(vocabulary=vocabulary))[0].parts[0][0]


def in_folder(folder: Path) -> Vocabulary:
    return Vocabulary(embedding_files((folder,)))


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("key", ["emb_params", "<cat-toy>", "string_to_param.*", "clip_l"])
def test_one_tensor_under_any_name_is_an_embedding(key: str, tmp_path: Path) -> None:
    """A1111 and kohya write emb_params, diffusers the token; a single vector may have one dimension."""
    for tensor in (rows(3), rows(1)[0], rows(2).to(torch.float16), rows(2).to(torch.bfloat16)):
        toy = f"toy {tensor.dtype} {len(tensor)}"
        found = read_embedding(write(tmp_path, toy, {key: tensor}))
        assert (found.name, found.family, list(found.vectors)) == (toy, "built-in", ["text_encoder"])
        assert torch.equal(found.vectors["text_encoder"], tensor.float().reshape(-1, WIDTH))
        assert found.short == hashlib.sha256((tmp_path / f"{toy}.safetensors").read_bytes()).hexdigest()[:12]


def test_sdxl_embeddings_have_vectors_for_both_encoders(tmp_path: Path) -> None:
    """clip_l for the first, clip_g for the second."""
    found = read_embedding(write(tmp_path, "x", {"clip_g": rows(2, 1280), "clip_l": rows(2, 768)}))
    assert (found.family, found.length) == ("SDXL", 2)
    assert found.widths == {"text_encoder": 768, "text_encoder_2": 1280}
    assert read_embedding(write(tmp_path, "y", {"emb_params": rows(2, 768)})).family == "SD 1.5"
    assert read_embedding(write(tmp_path, "z", {"emb_params": rows(2, 1024)})).family == "SD 2"


@pytest.mark.parametrize(
    ("tensors", "error", "sentence"),
    [
        ({"a": rows(), "b": rows()}, AdapterUnsupported, "holds 2 tensors"),
        ({"a": rows(), "b": rows(), "c": rows()}, AdapterUnsupported, "is no embedding"),
        ({"clip_l": rows(1, 768), "clip_g": rows(2, 1280)}, AdapterInvalid, "another number of vectors"),
        ({"a": rows(MAX_VECTORS + 1)}, AdapterInvalid, "up to 75 rows"),
        ({"a": torch.ones(2, 3, 4)}, AdapterInvalid, "shape"),
        ({"a": torch.full((1, 8), torch.nan)}, AdapterInvalid, "NaN"),
        ({"a": torch.ones(8000, 8000)}, AdapterUnsupported, "is no embedding"),
    ],
)
def test_what_is_no_embedding_is_refused(
    tensors: dict[str, torch.Tensor], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    """With the reason."""
    with pytest.raises(error, match=sentence):
        read_embedding(write(tmp_path, "odd", tensors))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """An unchanged one is not."""
    path = write(tmp_path, "toy", {"a": rows(1)})
    before = read_embedding(path)
    assert read_embedding(path) is before
    write(tmp_path, "toy", {"a": rows(2)})
    assert read_embedding(path).length == 2


# ------------------------------------------------------------------------------------------------ names in a prompt


def test_pickles_are_refused_by_name_when_a_prompt_names_them(tmp_path: Path, builtin: Any) -> None:
    """A .pt beside a .safetensors file of that name disturbs nobody, nor one that is not named."""
    for suffix in (".pt", ".bin"):
        (tmp_path / f"toy{suffix}").write_bytes(b"\x80\x02")
    first(builtin, "a flower", in_folder(tmp_path))
    with pytest.raises(AdapterUnsupported, match=r"toy\.(bin|pt) is a Python pickle"):
        first(builtin, "a toy", in_folder(tmp_path))
    write(tmp_path, "toy", {"emb_params": rows()})
    assert first(builtin, "a toy", in_folder(tmp_path)).named


def test_an_embedding_for_another_family_is_refused_with_both_named(tmp_path: Path, builtin: Any) -> None:
    """Unless another file of the same name fits."""
    (tmp_path / "sd15").mkdir()
    write(tmp_path / "sd15", "toy", {"emb_params": rows(1, 768)})
    with pytest.raises(AdapterMismatch, match=r"toy is made for SD 1\.5; this base model is built-in"):
        first(builtin, "a toy", in_folder(tmp_path))
    write(tmp_path, "Toy", {"emb_params": rows()})
    assert first(builtin, "a toy", in_folder(tmp_path)).named[0][0] == "Toy"


def chunks(builtin: Any, text: str, sizes: dict[str, int]) -> list[Chunk]:
    known = {name: inversion(name, {"": rows(size)}, "") for name, size in sizes.items()}
    lexicon = Lexicon(known, builtin.tokenizer)
    return chunks_of(parse_prompt(text).at(1, 1)[0].segments, builtin.tokenizer, lexicon, known.__getitem__)


def places(builtin: Any, text: str, sizes: dict[str, int]) -> list[list[tuple[int, str]]]:
    return [[(place, one.name) for place, one in chunk.vectors] for chunk in chunks(builtin, text, sizes)]


def test_names_are_found_in_tokens_the_longest_first(builtin: Any) -> None:
    """In any case and between signs. (A word that ends in a name's very tokens holds it, as in the WebUI.)"""
    sizes = {"bad": 2, "bad-hands": 3, "easynegative": 1}
    assert places(builtin, "bad", sizes) == [[(1, "bad")]]
    assert places(builtin, "a Bad, BAD-hands x", sizes) == [[(2, "bad"), (5, "bad-hands")]]
    assert places(builtin, "EasyNegative, easynegative.", sizes) == [[(1, "easynegative"), (3, "easynegative")]]
    assert places(builtin, "badly easynegatives", sizes) == [[]]
    assert places(builtin, "bad(hands) bad(-hands)", sizes) == [[(1, "bad"), (3 + _count(builtin, "hands"), "bad")]]


def _count(builtin: Any, text: str) -> int:
    return len(builtin.tokenizer(text, add_special_tokens=False).input_ids)


def test_names_in_angle_brackets_are_found_side_by_side(builtin: Any) -> None:
    """cloneofsimo's <s1><s2>: the tokenizer melts the inner brackets into one token."""
    sizes = {"<s1>": 1, "<s2>": 1}
    assert places(builtin, "style of <s1><s2>, <S1>.<x><s2>", sizes)[0][:2] == [
        (1 + _count(builtin, "style of"), "<s1>"),
        (2 + _count(builtin, "style of"), "<s2>"),
    ]
    assert [name for _, name in places(builtin, "<s1><s2>, <S1>.<x><s2>", sizes)[0]] == ["<s1>", "<s2>", "<s1>", "<s2>"]


def test_vectors_count_as_tokens_and_stay_together(builtin: Any) -> None:
    """What does not fit whole begins the next chunk; the 75 are full at 75."""
    assert places(builtin, "red " * 70 + "toy", {"toy": 5}) == [[(71, "toy")]]
    assert places(builtin, "red " * 70 + "toy", {"toy": 6}) == [[], [(1, "toy")]]
    assert places(builtin, "toy", {"toy": 75}) == [[(1, "toy")]]
    ids = chunks(builtin, "toy a", {"toy": 75})
    assert [len(chunk.ids) for chunk in ids] == [77, 77]


def test_vectors_move_with_their_tokens_over_a_comma(builtin: Any) -> None:
    """(The WebUI leaves them behind, in the padding of the chunk before.)"""
    text = "red " * 65 + ", toy" + " green" * 10
    assert places(builtin, text, {"toy": 4}) == [[], [(1, "toy")]]


def test_a_weight_counts_for_all_vectors(builtin: Any) -> None:
    """Inside brackets and editing, as any word."""
    (chunk,) = chunks(builtin, "a (toy:1.3) b", {"toy": 3})
    assert chunk.weights[:7] == (1.0, 1.0, 1.3, 1.3, 1.3, 1.0, 1.0)
    (track,) = parse_prompt("a [toy:cat:0.5]").tracks(10)
    known = inversion("toy", {"": rows(2)}, "")
    found = [
        chunks_of(text, builtin.tokenizer, Lexicon(["toy"], builtin.tokenizer), lambda _: known)[0].vectors
        for _, text in track.stages
    ]
    assert found == [((2, known),), ()]


def test_many_long_vectors_meet_the_limit_of_chunks(builtin: Any) -> None:
    """A short prompt can be long in tokens."""
    with pytest.raises(PromptError, match="more than 80 chunks"):
        chunks(builtin, "toy " * 81, {"toy": 75})


# ------------------------------------------------------------------------------------------------ vectors in force


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("form", ["emb_params", "toy"])
def test_a_prompt_with_an_embedding_is_diffusers_to_the_bit(
    count: int, form: str, tmp_path: Path, builtin: Any
) -> None:
    """Against load_textual_inversion, which puts new tokens into tokenizer and model; ours stay as they were."""
    path = write(tmp_path, "toy", {form: rows(count)})
    theirs = load_pipeline(str(BUILTIN_FOLDER / "model"), torch.device("cpu"), torch.float32)
    vectors = rows(count)
    with torch.inference_mode(False):
        theirs.load_textual_inversion({"toy": vectors[0]} if count == 1 else str(path), token="toy")
    text = "a red toy on white"
    ids = theirs.tokenizer(theirs.maybe_convert_prompt(text, theirs.tokenizer)).input_ids
    assert len([token for token in ids if token >= 799]) == count
    expected, _ = theirs.encode_prompt(text, torch.device("cpu"), 1, False)
    before = builtin.text_encoder.get_input_embeddings().weight.clone()
    assert torch.equal(first(builtin, text, in_folder(tmp_path)).hidden, expected)
    assert torch.equal(builtin.text_encoder.get_input_embeddings().weight, before)
    assert len(builtin.tokenizer) == 799
    assert not torch.equal(first(builtin, text, Vocabulary()).hidden, expected)


def test_sdxl_reads_each_encoders_own_vectors(tmp_path: Path, xl: Any) -> None:
    """A token's own rows under another name change nothing: the embedding is the word."""
    red = xl.tokenizer("red", add_special_tokens=False).input_ids
    tables = [encoder.get_input_embeddings().weight for encoder in (xl.text_encoder, xl.text_encoder_2)]
    own = {name: table[red].clone() for name, table in zip(("clip_l", "clip_g"), tables, strict=True)}
    write(tmp_path, "zz", own)
    same, word = first(xl, "a zz flower", in_folder(tmp_path)), first(xl, "a red flower", Vocabulary())
    assert torch.equal(same.hidden, word.hidden)
    assert same.pooled is not None
    assert word.pooled is not None
    assert torch.equal(same.pooled, word.pooled)


def test_other_vectors_under_one_name_are_encoded_anew(tmp_path: Path, builtin: Any) -> None:
    """What is kept is told apart by the vectors, not by the name."""
    known = Conditioner(builtin)
    found = []
    for seed in (0, 1, 0):
        vocabulary = Vocabulary({}, {"toy": inversion("toy", {"": rows(seed=seed)}, "")})
        found.append(known.schedule(parse_prompt("toy"), 1, Reading(vocabulary=vocabulary))[0].parts[0][0].hidden)
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def test_the_embeddings_in_a_prompt_are_named_with_their_hash(tmp_path: Path, builtin: Any) -> None:
    """Over all steps and parts, for the infotext; those that stand nowhere are not."""
    for name in ("toy", "hat", "boat"):
        write(tmp_path, name, {"a": rows()})
    reading = Reading(vocabulary=in_folder(tmp_path))
    schedule = Conditioner(builtin).schedule(parse_prompt("[toy:cat:0.5] AND (hat:1.2)"), 4, reading)
    shorts = {
        name: hashlib.sha256((tmp_path / f"{name}.safetensors").read_bytes()).hexdigest()[:12]
        for name in ("toy", "hat")
    }
    assert named(schedule) == shorts


# ------------------------------------------------------------------------------------------------ in adapter files

LAYER = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def with_layer(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return tensors | {f"{LAYER}.lora_up.weight": torch.ones(80, 1), f"{LAYER}.lora_down.weight": torch.ones(1, 80)}


def test_every_spelling_of_a_bundled_embedding_is_read(tmp_path: Path) -> None:
    """Names may hold dots; SDXL's come in two tensors."""
    tensors = with_layer(
        {
            "bundle_emb.one.string_to_param.*": rows(2),
            "bundle_emb.two.emb_params": rows(1),
            "bundle_emb.v1.5-neg.clip_l": rows(2, 768),
            "bundle_emb.v1.5-neg.clip_g": rows(2, 1280),
        }
    )
    adapter = read_adapter(write(tmp_path, "mine", tensors))
    assert {one.name: (one.family, one.length, one.short) for one in adapter.embeddings} == {
        "one": ("built-in", 2, "mine"),
        "two": ("built-in", 1, "mine"),
        "v1.5-neg": ("SDXL", 2, "mine"),
    }
    assert set(adapter.embedding_keys) == {key for key in tensors if key.startswith("bundle_emb")}
    assert adapter.ignored == {}


def test_an_odd_embedding_does_not_cost_the_file_its_layers(tmp_path: Path, bank: AdapterBank) -> None:
    """It is ignored, with the reason."""
    tensors = with_layer(
        {f"bundle_emb.{'n' * 65}.clip_l": rows(), "bundle_emb.a.clip_l": rows(76), "bundle_emb.b.x": rows()}
    )
    (report,) = bank.set([(read_adapter(write(tmp_path, "mine", tensors)), 1.0)])
    assert (report.applied, report.embeddings, report.unknown) == (1, (), ())
    assert [
        "64 characters" in why or "up to 75 rows" in why or "unknown form" in why for why in report.ignored.values()
    ] == [True] * 3


def test_the_first_formats_embeddings_are_used() -> None:
    """lora_disney brings <s1> and <s2> along, for SD 1.5: found as written in its readme, with their own numbers."""
    adapter, file = read_adapter(REAL), load_file(REAL)
    known = {one.name: one for one in adapter.embeddings}
    assert {name: one.family for name, one in known.items()} == {"<s1>": "SD 1.5", "<s2>": "SD 1.5"}
    assert all(torch.equal(one.vectors["text_encoder"][0], file[name]) for name, one in known.items())
    assert set(adapter.embedding_keys) == {"<s1>", "<s2>"}


def test_a_file_in_a_folder_comes_before_a_bundled_embedding(tmp_path: Path, builtin: Any) -> None:
    """As in the WebUI, which skips the bundled one."""
    write(tmp_path, "toy", {"a": rows(seed=1)})
    brought = {"toy": inversion("toy", {"": rows(seed=2)}, "mine")}
    both = Vocabulary(embedding_files((tmp_path,)), brought)
    assert torch.equal(first(builtin, "toy", both).hidden, first(builtin, "toy", in_folder(tmp_path)).hidden)
    assert first(builtin, "toy", Vocabulary({}, brought)).named == (("toy", "mine"),)


def test_the_text_mix_names_who_changes_a_text_encoder(tmp_path: Path, bank: AdapterBank) -> None:
    """A UNet-only adapter, whatever its weight, is none of them; nor is a weight of 0."""
    assert bank.text_mix == ()
    unet = read_adapter(write(tmp_path, "unet", with_layer({})))
    key = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    text = read_adapter(
        write(
            tmp_path, "text", {f"{key}.lora_up.weight": torch.ones(96, 1), f"{key}.lora_down.weight": torch.ones(1, 96)}
        )
    )
    bank.set([(unet, 1.0), (text, 0.5)])
    assert bank.text_mix == ((text.info.sha256, 0.5),)
    bank.set([(unet, 0.3), (text, 0.0)])
    assert bank.text_mix == ()
