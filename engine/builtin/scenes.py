"""Captioned pictures drawn from nothing: the training data of the built-in model.

`draw(rng)` gives a `Scene`: the picture, a map of which object each pixel belongs to, and a caption. The map is what
makes styles cheap: an outline is where the map changes, a shadow is the map moved aside (see `styles`).
Everything is drawn at 256x256 and halved, so edges come out smooth.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

CANVAS = 256
PICTURE = 128
GROUND, LIGHTS = 250, 251  # ids in the object map that throw no shadow: the ground; sun, moon and stars

Colour = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, Colour] = {
    "red": (216, 40, 44),
    "orange": (242, 138, 32),
    "yellow": (248, 210, 48),
    "green": (54, 158, 70),
    "blue": (44, 96, 206),
    "purple": (136, 66, 180),
    "pink": (244, 140, 180),
    "black": (30, 30, 34),
}
BACKGROUNDS: dict[str, Colour] = {"white": (252, 252, 250), "blue": (156, 202, 242), "yellow": (252, 238, 168)}
SKIES: dict[str, tuple[Colour, Colour]] = {
    "day": ((120, 184, 242), (206, 232, 250)),
    "sunset": ((236, 110, 70), (252, 208, 130)),
    "night": ((14, 18, 54), (44, 52, 110)),
}
DAYLIGHT = {"day": 1.0, "sunset": 0.86, "night": 0.55}
SHAPES = ("circle", "square", "triangle", "star", "heart")
TREES: dict[str, Colour] = {
    "green tree": (58, 148, 64),
    "autumn tree": (234, 124, 34),
    "pine tree": (30, 100, 70),
    "cherry tree": (246, 158, 190),
}


@dataclass(frozen=True)
class Scene:
    """`picture` RGB and `objects` L, both CANVAS square; `caption` says what is in them."""

    picture: Image.Image
    objects: Image.Image
    caption: str


class Canvas:
    """Draws every figure twice: its colour into the picture, its number into the object map."""

    def __init__(self, rng: random.Random, background: Colour) -> None:
        self.rng = rng
        self.picture = Image.new("RGB", (CANVAS, CANVAS), background)
        self.objects = Image.new("L", (CANVAS, CANVAS), 0)
        self._paint = ImageDraw.Draw(self.picture)
        self._mark = ImageDraw.Draw(self.objects)
        self._count = 0

    def new_object(self) -> int:
        self._count += 1
        return self._count

    def tint(self, colour: Colour) -> Colour:
        r, g, b = (int(min(255, max(0, v + self.rng.uniform(-6, 6)))) for v in colour)
        return r, g, b

    def near(self, value: float, spread: float) -> float:
        return value + self.rng.uniform(-spread, spread)

    def polygon(self, points: Sequence[Point], colour: Colour, object_id: int | None = None) -> None:
        self._paint.polygon(list(points), fill=colour)
        self._mark.polygon(list(points), fill=object_id or self.new_object())

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, object_id: int | None = None) -> None:
        box = (x - rx, y - ry, x + rx, y + ry)
        self._paint.ellipse(box, fill=colour)
        self._mark.ellipse(box, fill=object_id or self.new_object())

    def rectangle(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, object_id: int | None = None
    ) -> None:
        self._paint.rectangle((x0, y0, x1, y1), fill=colour)
        self._mark.rectangle((x0, y0, x1, y1), fill=object_id or self.new_object())

    def line(self, points: Sequence[Point], width: float, colour: Colour, object_id: int | None = None) -> None:
        self._paint.line(list(points), fill=colour, width=int(width), joint="curve")
        self._mark.line(list(points), fill=object_id or self.new_object(), width=int(width), joint="curve")

    def scene(self, caption: str) -> Scene:
        return Scene(self.picture, self.objects, caption)


def draw(rng: random.Random, subject: str | None = None) -> Scene:
    """A scene of `subject`, or of one picked by its weight in `SUBJECTS`."""
    if subject is None:
        subject = rng.choices(list(SUBJECTS), [weight for _, weight in SUBJECTS.values()])[0]
    return SUBJECTS[subject][0](rng)


def pixels(picture: Image.Image) -> np.ndarray:
    """uint8 (PICTURE, PICTURE, 3), halved from the canvas."""
    return np.asarray(picture.reduce(CANVAS // PICTURE))


# --- flat scenes: one or two things on a plain ground


def shapes(rng: random.Random) -> Scene:
    ground, canvas = _plain(rng)
    first, second = rng.sample(_colours_on(ground), 2)
    kind, other = rng.choice(SHAPES), rng.choice(SHAPES)
    if rng.random() < 0.6:
        size, radius = rng.choice([("", 72), ("", 72), ("small ", 44), ("large ", 92)])
        _shape(canvas, kind, (canvas.near(128, 8), canvas.near(128, 8)), radius, first)
        return canvas.scene(f"{a(size + first)} {kind}{_on(rng, ground)}")
    relation = rng.choice(["above", "below", "left of", "right of"])
    dx, dy = {"above": (0, -1), "below": (0, 1), "left of": (-1, 0), "right of": (1, 0)}[relation]
    for side, (shape, colour) in ((1, (kind, first)), (-1, (other, second))):
        centre = canvas.near(128 + 62 * dx * side, 5), canvas.near(128 + 62 * dy * side, 5)
        _shape(canvas, shape, centre, 50, colour)
    return canvas.scene(f"{a(first)} {kind} {relation} {a(second)} {other}{_on(rng, ground)}")


def flower(rng: random.Random) -> Scene:
    ground, canvas = _plain(rng)
    colour = rng.choice([c for c in _colours_on(ground) if c not in ("green", "black")])
    x, y, radius = canvas.near(128, 10), canvas.near(94, 8), canvas.near(64, 4)
    green = canvas.tint((60, 146, 62))
    canvas.line([(x, y), (canvas.near(x, 6), 256)], 11, green)
    leaves = canvas.new_object()
    for side in (-1, 1):
        canvas.polygon([(x, 236), (x + side * 66, 178), (x + side * 22, 232)], green, leaves)
    _petals(canvas, (x, y), radius, 6, canvas.tint(COLOURS[colour]))
    centre = COLOURS["orange"] if colour == "yellow" else COLOURS["yellow"]
    canvas.ellipse(x, y, radius * 0.34, radius * 0.34, canvas.tint(centre))
    return canvas.scene(f"{a(colour)} flower{_on(rng, ground)}")


def branch(rng: random.Random) -> Scene:
    ground, canvas = _plain(rng)
    colour = rng.choice([c for c in ("pink", "red", "purple", "yellow") if c != ground])
    mirrored = rng.random() < 0.5

    def at(x: float, y: float) -> Point:
        return (CANVAS - x if mirrored else x), y

    start, end = canvas.near(212, 10), canvas.near(58, 12)
    spine = [(-8 + 30 * i, start + (end - start) * i / 8 - 20 * math.sin(math.pi * i / 8)) for i in range(9)]
    brown, wood = canvas.tint((102, 66, 42)), canvas.new_object()
    for i in range(8):
        canvas.line([at(*spine[i]), at(*spine[i + 1])], 17 - i * 1.2, brown, wood)
    twigs = [(spine[3][0] + 6, spine[3][1] - 62), (spine[5][0] + 34, spine[5][1] + 56)]
    for root, tip in zip((spine[3], spine[5]), twigs, strict=True):
        canvas.line([at(*root), at(*tip)], 8, brown, wood)
    petal = canvas.tint(COLOURS[colour])
    for x, y in (*twigs, spine[8], spine[6], spine[2]):
        centre = at(canvas.near(x, 4), canvas.near(y, 4))
        _petals(canvas, centre, canvas.near(33, 2), 5, petal)
        canvas.ellipse(*centre, 10, 10, COLOURS["orange"] if colour == "yellow" else COLOURS["yellow"])
    caption = rng.choice(
        [
            f"a branch of {colour} flowers",
            f"a branch of {colour} flowers",
            f"a flower branch with {colour} blossoms",
            f"a {colour} flower branch",
            "a branch of flowers",
            "a flower branch",
        ]
    )
    return canvas.scene(caption + _on(rng, ground))


def cat(rng: random.Random) -> Scene:
    ground, canvas = _plain(rng)
    colour = rng.choice(["black", "orange"])
    fur, dark = canvas.tint(COLOURS[colour]), (22, 20, 24)
    x, y, r = canvas.near(128, 7), canvas.near(138, 6), canvas.near(78, 3)
    head = canvas.new_object()
    for side in (-1, 1):
        ear = [(x + side * r * 0.95, y - r * 1.25), (x + side * r * 0.1, y - r * 0.7), (x + side * r, y - r * 0.1)]
        canvas.polygon(ear, fur, head)
    canvas.ellipse(x, y, r * 1.05, r * 0.9, fur, head)
    eye = canvas.tint((126, 214, 92) if colour == "black" else (250, 250, 236))
    for side in (-1, 1):
        canvas.ellipse(x + side * r * 0.42, y - r * 0.1, r * 0.23, r * 0.25, eye)
        canvas.ellipse(x + side * r * 0.42, y - r * 0.1, r * 0.1, r * 0.2, dark)
    canvas.polygon([(x - r * 0.16, y + r * 0.26), (x + r * 0.16, y + r * 0.26), (x, y + r * 0.46)], (238, 130, 152))
    return canvas.scene(f"{a(colour)} cat{_on(rng, ground)}")


# --- landscapes: a sky with its hour, ground or water, and something in them


def house(rng: random.Random) -> Scene:
    when, canvas = _outdoors(rng)
    side = rng.choice([-1, 1])
    horizon = canvas.near(198, 6)
    _luminary(canvas, when, 128 - side * canvas.near(84, 8), canvas.near(42, 6))
    _ground(canvas, horizon, when, (108, 180, 84))
    roof = rng.choice(["red", "blue", "purple", "orange", "green"])
    beside = rng.choice(list(TREES)) if rng.random() < 0.5 else None
    _house(canvas, 128 - (34 * side if beside else 0), horizon + 22, 118, roof, when)
    if beside:
        _tree(canvas, 128 + side * canvas.near(74, 5), horizon + 26, canvas.near(128, 6), beside, when)
    caption = "a house" + (f" with {a(roof)} roof" if rng.random() < 0.7 else "")
    if beside:
        caption += rng.choice([" and ", " next to "]) + a(beside)
    return canvas.scene(caption + _hour(rng, when))


def tree(rng: random.Random) -> Scene:
    when, canvas = _outdoors(rng)
    _luminary(canvas, when, rng.choice([44, 212]) + rng.uniform(-6, 6), canvas.near(44, 6))
    horizon = canvas.near(204, 6)
    _ground(canvas, horizon, when, (108, 180, 84))
    kind = rng.choice(list(TREES))
    if rng.random() < 0.7:
        _tree(canvas, canvas.near(128, 8), horizon + 22, canvas.near(184, 6), kind, when)
        return canvas.scene((a(kind) if kind != "green tree" or rng.random() < 0.5 else "a tree") + _hour(rng, when))
    for x in (68, 190):
        _tree(canvas, canvas.near(x, 6), horizon + 22, canvas.near(142, 5), kind, when)
    return canvas.scene(f"two {kind}s" + _hour(rng, when))


def boat(rng: random.Random) -> Scene:
    when, canvas = _outdoors(rng)
    _luminary(canvas, when, rng.choice([46, 210]) + rng.uniform(-6, 6), canvas.near(46, 6))
    sea = canvas.near(170, 5)
    _ground(canvas, sea, when, (44, 116, 196))
    x, y = canvas.near(128, 10), sea + 24
    hull, sail = rng.choice(["red", "green", "black"]), rng.choice(["white", "red", "orange", "yellow"])
    cloth = _lit(canvas, when, COLOURS.get(sail, (250, 250, 248)))
    canvas.rectangle(x - 4, y - 140, x + 4, y - 30, _lit(canvas, when, (96, 64, 40)))
    canvas.polygon([(x + 8, y - 136), (x + 8, y - 40), (x + 74, y - 40)], cloth)
    canvas.polygon([(x - 8, y - 122), (x - 8, y - 40), (x - 58, y - 40)], cloth)
    canvas.polygon(
        [(x - 78, y - 30), (x + 78, y - 30), (x + 52, y + 14), (x - 52, y + 14)], _lit(canvas, when, COLOURS[hull])
    )
    caption = f"a {hull} boat" if rng.random() < 0.8 else "a boat"
    caption += (f" with {sail} sails" if rng.random() < 0.6 else "") + rng.choice([" on the sea", ""])
    return canvas.scene(caption + _hour(rng, when))


def fish(rng: random.Random) -> Scene:
    canvas = Canvas(rng, (60, 140, 210))
    _gradient(canvas, (104, 184, 234), (36, 98, 176))
    colour = rng.choice([c for c in COLOURS if c not in ("blue", "black", "green")])
    scales, way = canvas.tint(COLOURS[colour]), rng.choice([-1, 1])
    x, y, r = 128 - way * 12 + rng.uniform(-6, 6), canvas.near(122, 8), canvas.near(72, 4)
    body = canvas.new_object()
    tail = [
        (x + way * r * 0.7, y),
        (x + way * r * 1.6, y - r * 0.7),
        (x + way * r * 1.3, y),
        (x + way * r * 1.6, y + r * 0.7),
    ]
    canvas.polygon(tail, scales, body)
    canvas.polygon(
        [(x - r * 0.3, y - r * 0.5), (x + way * r * 0.5, y - r * 1.05), (x + way * r * 0.5, y - r * 0.4)], scales, body
    )
    canvas.ellipse(x, y, r * 1.1, r * 0.68, scales, body)
    canvas.ellipse(x - way * r * 0.6, y - r * 0.14, r * 0.2, r * 0.2, (250, 250, 250))
    canvas.ellipse(x - way * r * 0.64, y - r * 0.14, r * 0.1, r * 0.1, (20, 20, 24))
    canvas.rectangle(0, 228, CANVAS, CANVAS, canvas.tint((224, 202, 142)), GROUND)
    return canvas.scene(f"{a(colour)} fish" + rng.choice(["", " in the sea", " under water"]))


def mountains(rng: random.Random) -> Scene:
    when, canvas = _outdoors(rng)
    _luminary(canvas, when, rng.choice([44, 212]) + rng.uniform(-6, 6), canvas.near(44, 6))
    snowy, lake = rng.random() < 0.6, rng.random() < 0.35
    peaks = (
        (canvas.near(56, 10), canvas.near(108, 6), 92, (124, 136, 160)),
        (canvas.near(200, 10), canvas.near(104, 6), 92, (112, 124, 150)),
        (canvas.near(128, 12), canvas.near(150, 6), 112, (84, 98, 128)),
    )
    for x, height, width, rock in peaks:
        canvas.polygon([(x - width, 208), (x + width, 208), (x, 208 - height)], _lit(canvas, when, rock))
        if snowy:
            cap = 0.38
            foot = 208 - height * (1 - cap)
            snow = [
                (x - width * cap, foot),
                (x - 12, foot + 10),
                (x, foot - 6),
                (x + 14, foot + 10),
                (x + width * cap, foot),
            ]
            canvas.polygon([*snow, (x, 208 - height)], _lit(canvas, when, (250, 250, 252)))
    _ground(canvas, 204, when, (66, 138, 206) if lake else (104, 168, 88))
    caption = ("snowy mountains" if snowy else "mountains") + (" above a lake" if lake else "")
    return canvas.scene(caption + _hour(rng, when))


def sun(rng: random.Random) -> Scene:
    when = rng.choices(["day", "sunset"], [2, 1])[0]
    canvas = Canvas(rng, SKIES[when][0])
    _gradient(canvas, *SKIES[when])
    over = rng.choice(["the sea", "green hills"])
    x, y = canvas.near(128, 12), canvas.near(96, 6)
    gold = canvas.tint((254, 214, 54) if when == "day" else (252, 90, 44))
    for i in range(12):
        angle = math.pi * i / 6
        tip = x + 88 * math.cos(angle), y + 88 * math.sin(angle)
        left = x + 54 * math.cos(angle - 0.16), y + 54 * math.sin(angle - 0.16)
        right = x + 54 * math.cos(angle + 0.16), y + 54 * math.sin(angle + 0.16)
        canvas.polygon([tip, left, right], gold, LIGHTS)
    canvas.ellipse(x, y, 48, 48, gold, LIGHTS)
    if over == "the sea":
        _ground(canvas, 194, when, (44, 116, 196))
    else:
        for hill, shade in ((60, (96, 170, 80)), (200, (74, 146, 70))):
            canvas.ellipse(hill, 258, 124, 68, _lit(canvas, when, shade), GROUND)
    return canvas.scene(
        rng.choice(["the sun", "a sun", "a yellow sun" if when == "day" else "a red sun"])
        + f" over {over}"
        + (" at sunset" if when == "sunset" else "")
    )


SUBJECTS: dict[str, tuple[Callable[[random.Random], Scene], float]] = {
    "shapes": (shapes, 3.2),
    "flower": (flower, 2.2),
    "branch": (branch, 2.4),
    "house": (house, 2.2),
    "tree": (tree, 1.5),
    "boat": (boat, 1.6),
    "fish": (fish, 1.3),
    "cat": (cat, 1.2),
    "mountains": (mountains, 1.1),
    "sun": (sun, 1.0),
}


# --- parts


def a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _plain(rng: random.Random) -> tuple[str, Canvas]:
    name = rng.choices(list(BACKGROUNDS), [3, 1, 1])[0]
    return name, Canvas(rng, BACKGROUNDS[name])


def _on(rng: random.Random, ground: str) -> str:
    return f" on {ground}" if ground != "white" or rng.random() < 0.5 else ""


def _colours_on(ground: str) -> list[str]:
    return [name for name in COLOURS if name != ground]


def _gradient(canvas: Canvas, top: Colour, bottom: Colour) -> None:
    share = np.linspace(0, 1, CANVAS)[:, None, None]
    rows = np.array(top) * (1 - share) + np.array(bottom) * share
    canvas.picture.paste(Image.fromarray(rows.repeat(CANVAS, 1).astype(np.uint8)), (0, 0))


def _outdoors(rng: random.Random) -> tuple[str, Canvas]:
    when = rng.choices(list(SKIES), [3, 1.2, 1.2])[0]
    canvas = Canvas(rng, SKIES[when][0])
    _gradient(canvas, *SKIES[when])
    return when, canvas


def _hour(rng: random.Random, when: str) -> str:
    return {"day": rng.choice(["", "", " on a sunny day"]), "sunset": " at sunset", "night": " at night"}[when]


def _lit(canvas: Canvas, when: str, colour: Colour) -> Colour:
    r, g, b = (int(v * DAYLIGHT[when]) for v in colour)
    return canvas.tint((r, g, b))


def _luminary(canvas: Canvas, when: str, x: float, y: float) -> None:
    glow = {"day": (252, 214, 60), "sunset": (250, 84, 48), "night": (244, 240, 214)}[when]
    radius = 22 if when == "night" else 27
    canvas.ellipse(x, y, radius, radius, canvas.tint(glow), LIGHTS)


def _ground(canvas: Canvas, y: float, when: str, colour: Colour) -> None:
    canvas.rectangle(0, y, CANVAS, CANVAS, _lit(canvas, when, colour), GROUND)


def _shape(canvas: Canvas, kind: str, centre: Point, radius: float, colour_name: str) -> None:
    colour, turn = canvas.tint(COLOURS[colour_name]), canvas.rng.uniform(-0.06, 0.06)
    if kind == "circle":
        canvas.ellipse(*centre, radius, radius, colour)
        return
    canvas.polygon(_turned(_outline(kind, radius), centre, turn), colour)


def _outline(kind: str, r: float) -> list[Point]:
    if kind == "square":
        q = 0.88 * r
        return [(-q, -q), (q, -q), (q, q), (-q, q)]
    if kind == "triangle":
        return [(0, -1.05 * r), (1.1 * r, 0.85 * r), (-1.1 * r, 0.85 * r)]
    if kind == "star":
        spokes = [(1.18 * r if i % 2 == 0 else 0.5 * r, i * math.pi / 5) for i in range(10)]
        return [(length * math.sin(angle), -length * math.cos(angle)) for length, angle in spokes]
    turns = [2 * math.pi * i / 40 for i in range(40)]
    heart = [
        (16 * math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)))
        for t in turns
    ]
    return [(r / 15 * x, r / 15 * y) for x, y in heart]


def _turned(points: Sequence[Point], centre: Point, angle: float) -> list[Point]:
    cos, sin = math.cos(angle), math.sin(angle)
    return [(centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in points]


def _petals(canvas: Canvas, centre: Point, radius: float, count: int, colour: Colour) -> None:
    blossom, turn = canvas.new_object(), canvas.rng.uniform(0, math.tau)
    for i in range(count):
        angle = turn + i * math.tau / count
        x, y = centre[0] + radius * 0.6 * math.cos(angle), centre[1] + radius * 0.6 * math.sin(angle)
        canvas.ellipse(x, y, radius * 0.4, radius * 0.4, colour, blossom)


def _tree(canvas: Canvas, x: float, base: float, height: float, kind: str, when: str) -> None:
    half = height * 0.065
    canvas.rectangle(x - half, base - height * 0.5, x + half, base, _lit(canvas, when, (118, 78, 46)))
    leaf, crown = _lit(canvas, when, TREES[kind]), canvas.new_object()
    if kind == "pine tree":
        for tier in range(3):
            y, width = base - height * (0.26 + 0.22 * tier), height * (0.36 - 0.07 * tier)
            canvas.polygon([(x - width, y), (x + width, y), (x, y - height * 0.38)], leaf, crown)
        return
    for dx, dy, r in ((-0.19, -0.55, 0.22), (0.19, -0.55, 0.22), (0, -0.75, 0.26)):
        canvas.ellipse(x + dx * height, base + dy * height, r * height, r * height, leaf, crown)


def _house(canvas: Canvas, x: float, base: float, width: float, roof: str, when: str) -> None:
    height = width * 0.66
    canvas.rectangle(x - width / 2, base - height, x + width / 2, base, _lit(canvas, when, (242, 228, 198)))
    eaves = base - height
    canvas.polygon(
        [(x - width * 0.64, eaves), (x + width * 0.64, eaves), (x, eaves - width * 0.52)],
        _lit(canvas, when, COLOURS[roof]),
    )
    canvas.rectangle(x - width * 0.12, base - height * 0.55, x + width * 0.12, base, _lit(canvas, when, (104, 66, 40)))
    pane = (255, 226, 110) if when == "night" else (150, 204, 240)
    for side in (-0.31, 0.31):
        left = x + side * width - width * 0.11
        canvas.rectangle(left, base - height * 0.78, left + width * 0.22, base - height * 0.42, canvas.tint(pane))
