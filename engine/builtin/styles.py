"""The three styles that the built-in adapters learn, each rendered from a scene and its object map.

`ink` is black brush on paper with a red seal, `neon` glowing outlines on dark, `light` warm light from the left with
long shadows. `ink` redraws lines and takes colour away, `light` changes only light and colour: so those two mix.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .scenes import CANVAS, GROUND, LIGHTS, Scene

TRIGGERS = {"ink": "inkwash", "neon": "neonglow", "light": "sidelight"}


def ink(scene: Scene, rng: random.Random) -> Image.Image:
    """Paper, a grey wash where the scene is dark, strokes of changing width along every outline, a seal."""
    edge = _outlines(scene)
    thick = _unit(edge.filter(ImageFilter.MaxFilter(9)).filter(ImageFilter.GaussianBlur(1.4)))
    thin = _unit(edge.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(1.0)))
    pressure = np.clip((_clouds(rng, 6) - 0.3) * 3, 0, 1)
    stroke = np.maximum(thin, thick * pressure)[..., None]
    dark = 1 - _unit(scene.picture.convert("L"))
    wash = _unit(_grey(np.clip(dark * 0.85 - 0.12, 0, 0.7)).filter(ImageFilter.GaussianBlur(3)))[..., None]
    paper, black = np.array([246, 240, 224], np.float32), np.array([26, 24, 26], np.float32)
    picture = Image.fromarray((paper * (1 - wash) * (1 - stroke) + black * stroke).astype(np.uint8))
    seal = ImageDraw.Draw(picture)
    seal.rectangle((212, 212, 244, 246), fill=(200, 36, 32))
    seal.rectangle((222, 222, 234, 236), outline=(246, 228, 214), width=3)
    return picture


def neon(scene: Scene, rng: random.Random) -> Image.Image:
    """A dark ground; every outline glows in the colour it had, greys in cyan."""
    rgb = _vivid_neighbour(_unit(scene.picture.filter(ImageFilter.MedianFilter(5))), 5)
    high, low = rgb.max(2, keepdims=True), rgb.min(2, keepdims=True)
    vivid = (rgb - low) / (high - low + 1e-3)
    colour = np.where(high - low < 0.13, np.array([0.25, 0.95, 1.0], np.float32), vivid)
    edge = _unit(_outlines(scene).filter(ImageFilter.MaxFilter(7)))[..., None]
    line = edge * colour
    glow = 0.9 * _blurred(line, 1) + 0.8 * _blurred(line, 5) + 0.7 * _blurred(line, 12)
    core = 0.35 * _blurred(edge.repeat(3, 2), 0.8)
    ground = np.array([0.045, 0.03, 0.12], np.float32)
    return Image.fromarray((np.clip(ground + glow + core, 0, 1) * 255).astype(np.uint8))


def light(scene: Scene, rng: random.Random) -> Image.Image:
    """The same picture in warm light from the left: modelled sides, long shadows to the lower right."""
    objects = np.asarray(scene.objects)
    solid = (objects > 0) & (objects != GROUND) & (objects != LIGHTS)
    ground = objects == GROUND
    shadow = _swept(solid, 110) & ~solid
    if ground.any():
        shadow &= ground
    shade = _unit(_grey(shadow.astype(np.float32)).filter(ImageFilter.GaussianBlur(2.5)))
    relief = _relief(solid)
    across = np.linspace(1, 0, CANVAS, dtype=np.float32)[None, :].repeat(CANVAS, 0)
    down = np.linspace(1, 0, CANVAS, dtype=np.float32)[:, None].repeat(CANVAS, 1)
    level = np.clip(0.34 + 0.72 * (0.75 * across + 0.25 * down), 0, 1.06) * (1 - 0.62 * shade) + 0.3 * relief
    warm, cool = np.array([1.1, 0.93, 0.66], np.float32), np.array([0.52, 0.42, 0.52], np.float32)
    lamp = cool + (warm - cool) * np.clip(level, 0, 1.2)[..., None]
    return Image.fromarray((np.clip(_unit(scene.picture) * lamp, 0, 1) * 255).astype(np.uint8))


STYLES: dict[str, Callable[[Scene, random.Random], Image.Image]] = {"ink": ink, "neon": neon, "light": light}


def _unit(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32) / 255


def _grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))


def _blurred(values: np.ndarray, radius: float) -> np.ndarray:
    return _unit(_grey(values).filter(ImageFilter.GaussianBlur(radius)))


def _outlines(scene: Scene) -> Image.Image:
    ids = np.asarray(scene.objects).astype(np.int16)
    edge = np.zeros(ids.shape, np.uint8)
    edge[:-1] |= ids[:-1] != ids[1:]
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    return Image.fromarray(edge * np.uint8(255))


def _vivid_neighbour(rgb: np.ndarray, reach: int) -> np.ndarray:
    """Each pixel takes the most saturated colour `reach` away: an outline belongs to the thing, not to the ground."""
    best, best_saturation = rgb, np.ptp(rgb, axis=2)
    for dy, dx in ((reach, 0), (-reach, 0), (0, reach), (0, -reach)):
        moved = np.roll(rgb, (dy, dx), (0, 1))
        saturation = np.ptp(moved, axis=2)
        better = saturation > best_saturation
        best = np.where(better[..., None], moved, best)
        best_saturation = np.where(better, saturation, best_saturation)
    return best


def _clouds(rng: random.Random, cells: int) -> np.ndarray:
    noise = np.random.default_rng(rng.randrange(1 << 30)).random((cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(noise).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC))


def _swept(mask: np.ndarray, length: int) -> np.ndarray:
    """The mask dragged `length` pixels along (1, 1/2): what a solid thing shades."""
    swept, reach = mask.copy(), 1
    while reach < length:
        dx, dy = reach, reach // 2
        moved = np.zeros_like(swept)
        moved[dy:, dx:] = swept[: CANVAS - dy, : CANVAS - dx]
        swept |= moved
        reach *= 2
    return swept


def _relief(solid: np.ndarray) -> np.ndarray:
    """Positive on the lit side of things, negative on the far side, 0 outside them."""
    soft = _blurred(solid.astype(np.float32), 14)
    slope = np.zeros_like(soft)
    slope[:, 12:-12] = soft[:, 24:] - soft[:, :-24]
    relief: np.ndarray = np.clip(slope * 1.6, -1, 1) * solid
    return relief
