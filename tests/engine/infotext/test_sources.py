"""What each tool writes is read as the same picture."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from sd_parsers import ParserManager

from engine.errors import MetadataUnreadable
from engine.infotext import Reading, read_infotext, read_picture
from engine.infotext.names import split_name

from . import files
from .samples import COMFY, SAMPLES, WEBUI, Sample


def reading(sample: Sample) -> Reading:
    return read_picture(sample.data) if sample.data else read_infotext(sample.text)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_picture_is_read_as_it_was_made(sample: Sample) -> None:
    found = reading(sample)
    assert found.source == sample.source
    assert found.request == sample.request
    assert len(found.notes) == len(sample.notes), found.notes
    assert all(note.startswith(start) for note, start in zip(found.notes, sample.notes, strict=True)), found.notes
    assert found.hashes == sample.hashes


def test_an_independent_library_reads_the_same_prompts_and_numbers() -> None:
    """sd-parsers knows some of these forms; it and we agree. (It tells of no adapters, sizes and schedules.)"""
    known = {"webui png", "invokeai 4", "invokeai 3", "invokeai 2", "novelai"}
    for sample in (sample for sample in SAMPLES if sample.name in known):
        theirs = ParserManager().parse(io.BytesIO(sample.data))
        assert theirs is not None, sample.name
        ours, sampler = reading(sample).request, theirs.samplers[0]
        assert int(sampler.parameters["seed"]) == ours.seed
        assert float(sampler.parameters.get("cfg_scale", ours.cfg)) == ours.cfg
        assert ours.prompt in theirs.full_prompt
        assert theirs.full_negative_prompt == ours.negative


def test_a_webuis_text_wins_over_the_graph_beside_it() -> None:
    """Save nodes of ComfyUI write it on purpose."""
    data = files.png({"parameters": WEBUI, "prompt": json.dumps(COMFY)})
    assert read_picture(data).request.seed == 1234567890


def test_a_prompt_may_begin_with_a_brace() -> None:
    assert read_infotext("{red|blue} cat\nSteps: 20, Seed: 1, Sampler: Euler a").request.prompt == "{red|blue} cat"


def test_lines_after_the_values_are_values_too() -> None:
    """Older WebUIs wrote comments there."""
    found = read_infotext("a cat\nSteps: 20, Seed: 1, Sampler: Euler a\n\nUsed embeddings: easynegative [119b]")
    assert (found.request.prompt, found.request.seed) == ("a cat", 1)
    assert found.fields["Used embeddings"] == "easynegative [119b]"


def test_what_a_request_does_not_take_is_replaced_and_noted() -> None:
    text = (
        "x <lora:ink:99>\nSteps: 900, Sampler: Wobble, Schedule type: Beta, CFG scale: 80, Seed: -1, Size: 5000x2501, "
        "Clip skip: 40, RNG: TPU, Emphasis: Ignore, Hires upscale: 9, Denoising strength: 0.5, Version: v1.10.1"
    )
    found = read_infotext(text)
    said = "\n".join(found.notes)
    for words in ("ink", "'Wobble'", "'Beta'", "900 steps", "cfg of 80", "Seed -1", "5000x2501", "skip of 40", "'TPU'"):
        assert words in said, words
    assert "by 9" in said
    assert (found.request.width, found.request.height, found.request.steps) == (2048, 1024, 150)
    assert (found.request.cfg, found.request.seed, found.request.hires) == (None, None, None)


def test_the_rest_of_what_the_tool_did_is_noted() -> None:
    found = read_infotext(
        "x\nSteps: 9, Seed: 1, Refiner: xl [123], Tiling: True, ADetailer model: face, Version: v1.10.1"
    )
    assert [note.split(",")[0] for note in found.notes] == [
        "It was made with a refiner", "It was made with ADetailer", "It was made with tiling",
    ]  # fmt: skip


@pytest.mark.parametrize("data", [files.png({}), files.png({"Software": "GIMP"}), files.jpeg(b""), files.webp(b"")])
def test_a_picture_that_says_nothing_is_told_so(data: bytes) -> None:
    with pytest.raises(MetadataUnreadable, match="does not say how it was made"):
        read_picture(data)


def test_old_and_new_spellings_of_a_sampler_mean_the_same() -> None:
    assert split_name("DPM++ 2M Karras", None) == split_name("DPM++ 2M", "Karras") == ("DPM++ 2M", "Karras")
    assert split_name("DPM++ 2M Karras", "Automatic") == ("DPM++ 2M", "Karras")
    assert split_name("Euler a", None) == split_name("Euler a", "Automatic") == ("Euler a", "")


def test_a_reading_keeps_the_values_as_they_were_written() -> None:
    found = read_infotext(WEBUI)
    assert found.fields["Model hash"] == "6ce0161689"
    assert replace(found, fields={}).request == found.request
