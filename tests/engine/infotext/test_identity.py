"""Request → infotext → Request is the identity, and the WebUI's own rules read the same prompts."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from engine.errors import BadRequest
from engine.infotext import infotext_exif, read_infotext, read_picture, write_infotext
from engine.pipeline.image import to_png
from engine.prompt import parse_prompt, tagged
from engine.types import EMPHASES, MAX_SEED, NOISES, SAMPLERS, SCHEDULES, UPSCALERS, AdapterUse, Hires, Request

_NASTY = (
    "Negative prompt:", "Negative prompt: fog", "\n", "\nNegative prompt: x\n", "Steps: 20, Sampler: DDIM, Seed: 1, ",
    ",", ":", '"', "\\", "\\n", "{", "}", '{"a": 1}', "[", "(a:1.2)", " ", "  ", "\t", "\r", "Lora hashes: ", "512x512",
    "Prompt: x",
    "Version: v1.10.1", "é", "红", "\u2028", "a", "AND", "BREAK", "<", ">",
)  # fmt: skip
texts = st.lists(st.sampled_from(_NASTY), max_size=8).map("".join) | st.text(max_size=40)
seeds = st.integers(0, MAX_SEED)
shares = st.floats(0, 1).map(lambda value: round(value, 4))
weights = st.floats(-10, 10).map(lambda value: round(value, 3))
names = st.from_regex(r"[A-Za-z0-9_ .,'()é-]{0,10}[A-Za-z0-9]", fullmatch=True)
second_passes = st.builds(Hires, st.floats(1.1, 4), shares, st.integers(0, 150), st.sampled_from(UPSCALERS))
model_names = names | texts.map(lambda text: f"m{text}"[:60])


@st.composite
def adapters(draw: st.DrawFn) -> tuple[AdapterUse, ...]:
    """Names as `tagged` writes them; a weight of the text encoder only where it is another one."""
    chosen = draw(st.lists(names.map(str.strip), max_size=4, unique_by=str.casefold))
    pairs = [(draw(weights), draw(weights)) for _ in chosen]
    wishes = st.fixed_dictionaries(
        {},
        optional={
            "blocks": st.sampled_from([(0.5,) * 12, (0.0, *(1.0,) * 16), (0.25,) * 26]),
            "rank": st.integers(1, 64),
            "start": st.integers(1, 20),
            "stop": st.integers(21, 150),
            "curve": st.just(((0.0, 0.0), (1.0, 0.5))),
        },
    )
    return tuple(
        AdapterUse(name, weight, None if weight == te else te, **draw(st.just({}) | wishes))
        for name, (weight, te) in zip(chosen, pairs, strict=True)
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Every field that determines a picture, as an engine has completed it."""
    varied = draw(st.booleans())
    try:
        request = Request(
            prompt=draw(texts),
            negative=draw(texts),
            adapters=draw(adapters()),
            model=draw(model_names),
            width=draw(st.integers(8, 256)) * 8,
            height=draw(st.integers(8, 256)) * 8,
            steps=draw(st.integers(1, 150)),
            cfg=draw(st.floats(0, 50)),
            sampler=draw(st.sampled_from(SAMPLERS)),
            schedule=draw(st.sampled_from(("", *SCHEDULES))),
            seed=draw(seeds),
            hires=draw(
                st.none() | st.builds(Hires, st.floats(1.1, 4), shares, st.integers(0, 150), st.sampled_from(UPSCALERS))
            ),
            vae=draw(st.just("") | model_names),
            eta=draw(st.none() | shares),
            ensd=draw(seeds),
            noise=draw(st.sampled_from(NOISES)),
            variation_seed=draw(seeds) if varied else None,
            variation_strength=draw(shares.filter(bool)) if varied else 0.0,
            cfg_rescale=draw(shares),
            clip_skip=draw(st.integers(1, 12)),
            emphasis=draw(st.sampled_from(EMPHASES)),
        )
    except BadRequest:  # hires fix of what is large already
        assume(False)
    if not any(sign in request.prompt + request.negative for sign in "(["):
        request = replace(request, emphasis="Original")  # nothing is weighed
    assume(parse_prompt(request.prompt).text == request.prompt)  # the engine has taken the tags out, used or not
    if request.adapters:
        request = replace(request, prompt=request.prompt.strip(" "))  # as taking tags out leaves it
    return request


@given(requests())
def test_what_was_written_is_read_as_the_same_request(request: Request) -> None:
    hashes = {use.name: "0123456789abcdef" for use in request.adapters}
    found = read_infotext(write_infotext(request, request.seed, request.model, hashes, model_hash="fedcba9876543210"))
    assert found.request == request
    assert found.fields["Model hash"] == "fedcba9876"
    assert found.notes == ()
    assert set(found.hashes.values()) <= {"0123456789ab"}
    assert len(found.hashes) == len(request.adapters) or any(set(",:") & set(use.name) for use in request.adapters)


@given(requests())
def test_the_webui_reads_the_same_prompts(request: Request) -> None:
    text = write_infotext(request, request.seed, request.model, {})
    values = as_the_webui_reads(text)
    assert values["Prompt"] == tagged(request)
    assert values["Negative prompt"] == request.negative
    assert int(values["Seed"]) == request.seed
    assert values["Model"] == request.model


def test_files_carry_it_whole() -> None:
    """PNG by the engine, JPEG and WebP by the bot."""
    request = Request(prompt="红 flower, é\nNegative prompt: ü", negative="a: b", seed=1, width=64, height=64, cfg=7.0)
    text = write_infotext(request, 1, "", {})
    image = Image.new("RGB", (8, 8))
    assert read_picture(to_png(image, text)).request == request
    for kind in ("JPEG", "WEBP"):
        assert read_picture(saved(image, kind, infotext_exif(text))).request == request


def test_the_order_and_the_words_are_the_webuis() -> None:
    request = Request(
        prompt="(a):1", negative="b", adapters=(AdapterUse("ink", 0.5, 0.25),), model="m", width=512, height=768,
        cfg=7.0,
        sampler="Euler a", schedule="Karras", seed=5, hires=Hires(2.0, 0.5, 9), vae="v", clip_skip=2, ensd=31337,
        noise="NV", variation_seed=3, variation_strength=0.25, cfg_rescale=0.7, eta=0.5, emphasis="No norm",
    )  # fmt: skip
    text = write_infotext(
        request, 5, "m", {"ink": "0" * 64}, ti_hashes={"easy": "1" * 64}, model_hash="6ce0161689b3853acaa03779"
    )
    assert text == (
        "(a):1 <lora:ink:0.25:0.5>\nNegative prompt: b\n"
        "Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 512x768, "
        "Model hash: 6ce0161689, Model: m, VAE: v, Variation seed: 3, Variation seed strength: 0.25, "
        "Denoising strength: 0.5, Clip skip: 2, "
        "ENSD: 31337, RNG: NV, Hires upscale: 2, Hires steps: 9, Hires upscaler: Latent, "
        'Lora hashes: "ink: 000000000000", TI hashes: "easy: 111111111111", Emphasis: No norm, '
        "Eta: 0.5, CFG Rescale: 0.7, Version: Loraloom 0.1.0"
    )


def test_only_what_is_not_usual_is_written() -> None:
    text = write_infotext(Request(prompt="a", width=8 * 8, height=64, cfg=7.5, model="m"), 5, "m", {})
    assert text == (
        "a\nSteps: 20, Sampler: DDIM, Schedule type: Automatic, CFG scale: 7.5, Seed: 5, Size: 64x64, Model: m, "
        "RNG: CPU, Version: Loraloom 0.1.0"
    )


def test_a_picture_that_started_from_another_keeps_how_much_it_changed() -> None:
    request = Request(prompt="a", image=b"x", mask=b"y", mask_blur=0, strength=0.35, seed=1)
    found = read_infotext(write_infotext(request, 1, "", {}))
    assert (found.request.strength, found.request.mask_blur, found.request.hires) == (0.35, 0, None)
    assert [note[:32] for note in found.notes] == ["It was made from another picture"]


def as_the_webui_reads(text: str) -> dict[str, str]:
    """The rules of the WebUI's parse_generation_parameters (1.10), told once more."""
    *lines, last = text.strip().split("\n")
    one = r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)'
    found = re.findall(one, last)
    assert len(found) >= 3
    prompt: list[str] = []
    negative: list[str] | None = None
    for line in (line.strip() for line in lines):
        if line.startswith("Negative prompt:"):
            negative = [] if negative is None else negative
            line = line[len("Negative prompt:") :].strip()
        part = prompt if negative is None else negative
        part += [line] if line or part else []
    values = {"Prompt": "\n".join(prompt), "Negative prompt": "\n".join(negative or [])}
    return values | {key: json.loads(value) if value[:1] == value[-1:] == '"' else value for key, value in found}


def saved(image: Image.Image, kind: str, exif: bytes) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()
