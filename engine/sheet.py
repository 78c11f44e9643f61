"""A grid's pictures on one labelled sheet: columns named on top, rows on the left, as the WebUI lays them out."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

MAX_SIDE = 4096  # pixels of a sheet; larger ones have smaller cells
GAP = 6
MAX_LINES = 4  # of a label
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def labelled(pictures: Sequence[Image.Image], columns: Sequence[str], rows: Sequence[str]) -> Image.Image:
    """The sheet of `pictures`, row by row, all of one size. A grid of one row may have no row labels."""
    width, height = _cell(pictures[0].size, len(columns), max(1, len(rows)))
    font = ImageFont.load_default(max(12, round(width / 20)))
    top = [_lines(label, width, font) for label in columns]
    left = [_lines(label, max(width // 2, 80), font) for label in rows]
    line = sum(font.getbbox("Ag")[1::2]) if isinstance(font, ImageFont.ImageFont) else sum(font.getmetrics())
    margin = max((round(font.getlength(text)) for lines in left for text in lines), default=-GAP) + 2 * GAP
    head = max(map(len, top)) * line + 2 * GAP
    size = (margin + len(columns) * (width + GAP), head + max(1, len(rows)) * (height + GAP))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for number, lines in enumerate(top):
        _write(pen, lines, margin + number * (width + GAP) + width // 2, head // 2, line, font)
    for number, lines in enumerate(left):
        _write(pen, lines, margin // 2, head + number * (height + GAP) + height // 2, line, font)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, len(columns))
        small = picture.resize((width, height), Image.Resampling.LANCZOS)  # a copy where it is of that size
        sheet.paste(small, (margin + column * (width + GAP), head + row * (height + GAP)))
    return sheet


def _cell(size: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """The size of a cell: the picture's, or what lets the sheet stay within MAX_SIDE."""
    width, height = size
    scale = min(
        1.0, MAX_SIDE / (columns * (width + GAP) + width // 2), MAX_SIDE / (rows * (height + GAP) + height // 2)
    )
    return max(1, int(width * scale)), max(1, int(height * scale))


def _write(pen: ImageDraw.ImageDraw, lines: Sequence[str], x: int, y: int, line: float, font: _Font) -> None:
    """The lines, centred around (x, y)."""
    for number, text in enumerate(lines):
        at = (x - font.getlength(text) / 2, y + (number - len(lines) / 2) * line)
        pen.text(at, text, fill="black", font=font)


def _lines(label: str, width: int, font: _Font) -> list[str]:
    """The label in lines no wider than `width`, at most MAX_LINES of them; what does not fit ends in dots."""
    lines: list[str] = []
    for word in _plain(label, font).split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], f"{lines[MAX_LINES - 1]}..."]
    return [_shortened(text, width, font) for text in lines]


def _plain(label: str, font: _Font) -> str:
    """Without what the font would stumble over: a bitmap font knows Latin-1 alone, an outline font draws a box."""
    text = "".join(sign if sign.isprintable() else " " for sign in label)
    return text if isinstance(font, ImageFont.FreeTypeFont) else text.encode("latin-1", "replace").decode("latin-1")


def _shortened(text: str, width: int, font: _Font) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
