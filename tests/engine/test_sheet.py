"""The labelled sheet of a grid."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image, ImageFont

from engine import sheet
from engine.sheet import MAX_SIDE, labelled


def plain(colour: str, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_cells_stand_in_rows_and_columns_beside_their_labels() -> None:
    """Every picture whole, in order; labels above and to the left of them."""
    colours = ["red", "green", "blue", "yellow", "purple", "black"]
    made = labelled([plain(colour) for colour in colours], ["a", "b", "c"], ["one", "two"])
    left, top = made.width - 3 * 70, made.height - 2 * 54
    assert left > 10
    assert top > 10
    for number, colour in enumerate(colours):
        row, column = divmod(number, 3)
        middle = (left + column * 70 + 32, top + row * 54 + 24)
        assert made.getpixel(middle) == plain(colour).getpixel((0, 0))
    assert made.crop((0, 0, made.width, top)).getcolors() != [(made.width * top, (255, 255, 255))]
    assert made.crop((0, top, left, made.height)).getcolors() != [(left * (made.height - top), (255, 255, 255))]


def test_one_row_needs_no_labels_at_its_left() -> None:
    """The chapter's figure is such a sheet."""
    made = labelled([plain("red"), plain("blue")], ["a", "b"], [])
    assert made.width < 2 * 70 + 10


LABELS = ["", "日本語のラベル", "العربية", "🎨🎨", "a\nb\tc\0d", "x" * 500, "word " * 200, "\ud800"]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("bitmap", [False, True])
def test_no_label_breaks_the_sheet(label: str, bitmap: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever people write in their prompts, also where Pillow comes without FreeType."""
    if bitmap:
        monkeypatch.setattr(sheet.ImageFont, "load_default", lambda size: _bitmap())
    made = labelled([plain("red")], [label], [label])
    assert made.width < 200
    assert made.height < 200


def test_a_large_sheet_has_smaller_cells() -> None:
    """Bounded, whatever the cells' size: Discord and browsers have to show it."""
    made = labelled([plain("red", (1024, 512))] * 20, [str(i) for i in range(10)], ["a", "b"])
    assert made.width <= MAX_SIDE
    assert made.width > MAX_SIDE * 0.8
    assert made.height < MAX_SIDE / 2


def _bitmap() -> Any:
    return ImageFont.load_default_imagefont()
