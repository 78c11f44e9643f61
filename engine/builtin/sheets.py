"""The pictures of the README and of the gate: `python -m engine.builtin.sheets`. Fixed seeds, nothing picked out.

figure.png    the chapter's figure: one prompt without adapter, with ink at 1, at 0.5, and with ink 0.5 + light 1
subjects.png  sixteen prompts at seeds 0 to 15, by the base model alone
adapters.png  eight prompts, seeds 0 to 7, under every adapter and the two mixes

and in ../samples two pictures of each adapter, which a catalog shows of it: drawn as the bot draws what members add.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..config import EngineConfig
from ..library import BUILTIN_ADAPTERS, SAMPLES
from ..renderer import Renderer
from ..types import AdapterUse, Request
from .denoiser import SHEET
from .styles import TRIGGERS

HERE = Path(__file__).parent / "sheets"
INK, NEON, LIGHT = AdapterUse("ink"), AdapterUse("neon"), AdapterUse("light")
Mix = tuple[AdapterUse, ...]
FIGURE: dict[str, Mix] = {
    "no adapter": (),
    "ink 1": (INK,),
    "ink 0.5": (replace(INK, weight=0.5),),
    "ink 0.5 + light 1": (replace(INK, weight=0.5), LIGHT),
}
COLUMNS: dict[str, Mix] = {
    "none": (),
    "ink 0.5": (replace(INK, weight=0.5),),
    "ink 1": (INK,),
    "neon 0.5": (replace(NEON, weight=0.5),),
    "neon 1": (NEON,),
    "light 0.5": (replace(LIGHT, weight=0.5),),
    "light 1": (LIGHT,),
    "ink 0.5 + light 1": (replace(INK, weight=0.5), LIGHT),
    "ink 1 + light 1": (INK, LIGHT),
}
PROMPTS = (
    "a red flower",
    "a branch of pink flowers on white",
    "a house with a red roof",
    "a red boat with white sails on the sea",
    "an orange fish in the sea",
    "an orange cat",
    "a green tree on a sunny day",
    "a large yellow star on blue",
)


def main() -> None:
    """Leaves the three sheets and the adapters' samples beside this file."""
    HERE.mkdir(exist_ok=True)
    renderer = Renderer(EngineConfig(preview_every=0))
    figure = [draw(renderer, "a red flower", 1, mix) for mix in FIGURE.values()]
    labelled(figure, list(FIGURE), columns=4, scale=2).save(HERE / "figure.png", optimize=True)
    subjects = [draw(renderer, prompt, seed) for seed, prompt in enumerate(SHEET)]
    labelled(subjects, list(SHEET), columns=4).save(HERE / "subjects.png", optimize=True)
    grid = [draw(renderer, prompt, seed, mix) for seed, prompt in enumerate(PROMPTS) for mix in COLUMNS.values()]
    labels = list(COLUMNS) + [""] * (len(grid) - len(COLUMNS))
    labelled(grid, labels, columns=len(COLUMNS)).save(HERE / "adapters.png", optimize=True)
    draw_samples(renderer, SAMPLES)


def draw_samples(renderer: Renderer, folder: Path) -> None:
    """Leaves <adapter>-1.webp and <adapter>-2.webp in the folder, for each built-in adapter."""
    folder.mkdir(exist_ok=True)
    for name in BUILTIN_ADAPTERS:
        result = renderer.run(sample_request(name), lambda progress: None, lambda: False)
        for number, picture in enumerate(result.pictures, start=1):
            image = Image.open(io.BytesIO(picture.png)).convert(
                "RGB"
            )  # anew from its pixels: a sample says nothing else
            Image.frombytes("RGB", image.size, image.tobytes()).save(folder / f"{name}-{number}.webp", quality=85)


def sample_request(name: str) -> Request:
    """What bot/jobs/samples.py would draw of a built-in adapter."""
    return Request(prompt=f"a house, {TRIGGERS[name]}", adapters=(AdapterUse(name),), seed=1, count=2)


def draw(renderer: Renderer, prompt: str, seed: int, mix: Mix = ()) -> Image.Image:
    """The picture of `prompt` at `seed`, 20 steps."""
    result = renderer.run(Request(prompt=prompt, seed=seed, adapters=mix), lambda progress: None, lambda: False)
    return Image.open(io.BytesIO(result.pictures[0].png))


def labelled(pictures: Sequence[Image.Image], labels: Sequence[str], *, columns: int, scale: int = 1) -> Image.Image:
    """Pictures in rows, each label under its picture."""
    side, gap, line = pictures[0].width * scale, 6, 18
    rows = -(-len(pictures) // columns)
    heights = [line if any(labels[row * columns : (row + 1) * columns]) else 0 for row in range(rows)]
    sheet = Image.new("RGB", (columns * (side + gap) + gap, rows * (side + gap) + gap + sum(heights)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11 if scale == 1 else 14)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        row, column = divmod(i, columns)
        x, y = gap + column * (side + gap), gap + row * (side + gap) + sum(heights[:row])
        sheet.paste(picture.resize((side, side), Image.Resampling.LANCZOS), (x, y))
        pen.text((x + 2, y + side + 2), _shortened(label, side, font), fill="black", font=font)
    return sheet


def _shortened(label: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(label) <= width:
        return label
    while font.getlength(label + "…") > width:
        label = label[:-1]
    return label + "…"


if __name__ == "__main__":
    main()
