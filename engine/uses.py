"""AdapterUse: one adapter of a mix and how strongly it counts, as people ask for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .errors import BadRequest
from .strength import MAX_WEIGHT, Curve, Weights, blocks_of, check_window, curve_of, in_force, value_at

_NOTHING = ((), (), (), (), (), None, None, None)


@dataclass(frozen=True, slots=True)
class AdapterUse:
    """One adapter of a mix. `weight` multiplies the UNet's change, `te_weight` the text encoders' (None: the same).

    `name` is a file stem, an alias, a hash, a path or a built-in name; with `sha256` the file is found by content
    instead. `curve` is the UNet's weight over the steps, `weight` then the first of it; `te_curve` is the text
    encoders'. `hires` and `hires_te` are those of a second pass, () as in the first. `blocks` are factors by block
    (`strength.BLOCKS`; lists of 12, 17, 20 or 26 are taken), `rank` cuts a LoRA to its first ranks, and the UNet is
    changed only behind the step `start` and up to the step `stop`. Kept in one form: equal uses are equal values.
    """

    name: str
    weight: float = 1.0
    te_weight: float | None = None
    sha256: str = ""
    curve: Curve = ()
    te_curve: Curve = ()
    hires: Curve = ()
    hires_te: Curve = ()
    blocks: tuple[float, ...] = ()
    rank: int | None = None
    start: float | None = None
    stop: float | None = None

    def __post_init__(self) -> None:
        wished = (self.curve, self.te_curve, self.hires, self.hires_te, self.blocks, self.rank, self.start, self.stop)
        if wished != _NOTHING:  # a prompt can hold hundreds of tags, nearly all of them plain
            try:
                self._settle()
            except BadRequest as error:
                raise BadRequest(f"{self.name}: {error}") from error
        elif self.te_weight == self.weight:
            object.__setattr__(self, "te_weight", None)
        for value in (self.weight, self.text_weight):
            if not math.isfinite(value) or abs(value) > MAX_WEIGHT:
                raise BadRequest(
                    f"The weight of {self.name} is {value}; it must lie between -{MAX_WEIGHT:g} and {MAX_WEIGHT:g}."
                )

    @property
    def text_weight(self) -> float:
        return self.weight if self.te_weight is None else self.te_weight

    @property
    def text_curve(self) -> Curve:
        return self.curve if self.te_weight is None else self.te_curve

    @property
    def plain(self) -> bool:
        """Whether its one weight says everything."""
        return self == AdapterUse(self.name, self.weight, sha256=self.sha256)

    def at(self, step: int, steps: int, *, hires: bool = False) -> Weights:
        """The weights at this step of `steps`, counted from 1.

        The text encoders' are those of the first step: the prompt is encoded once, before it (as in the WebUI).
        """
        curves = self._curves()
        unet, text = curves[2:] if hires else curves[:2]
        on = in_force(self.start, self.stop, step, steps)
        return Weights(value_at(unet, step, steps) if on else 0.0, text[0][0], self.blocks, self.rank)

    def plus(self, more: AdapterUse) -> AdapterUse:
        """The use with the weights of another one of the same adapter added, curves point by point.

        Raises BadRequest: the sum is out of bounds, or the two differ in steps, blocks or ranks.
        """
        if self._manner() != more._manner():
            raise BadRequest(
                f"{self.name} is asked for twice, with different steps, blocks or ranks; weights add up only where "
                "those are the same."
            )
        unet, text, hires, hires_te = map(_summed, self._curves(), more._curves())
        return replace(
            self,
            weight=unet[0][0],
            te_weight=text[0][0],
            curve=unet if len(unet) > 1 else (),
            te_curve=text if len(text) > 1 else (),
            hires=hires if hires != unet else (),
            hires_te=hires_te if hires_te != text else (),
        )

    def weighing(self, weight: float) -> AdapterUse:
        """The use with this weight throughout, for the UNet and the text encoders."""
        return replace(self, weight=weight, te_weight=None, curve=(), te_curve=(), hires=(), hires_te=())

    def _curves(self) -> tuple[Curve, Curve, Curve, Curve]:
        """Of the UNet and the text encoders, in the first pass and in the second."""
        unet, text = _flat(self.weight, self.curve), _flat(self.text_weight, self.text_curve)
        return unet, text, self.hires or unet, self.hires_te or text

    def _manner(self) -> tuple[object, ...]:
        """What two uses must have in common for their weights to add up."""
        places = tuple(tuple(place for _, place in curve) for curve in self._curves())
        return places, self.blocks, self.rank, self.start, self.stop

    def _settle(self) -> None:
        """Every field in its one form. Raises BadRequest for values that are none."""
        curve, te_curve = curve_of(self.curve), curve_of(self.te_curve)
        weight = curve[0][0] if curve else self.weight
        text = te_curve[0][0] if te_curve else self.te_weight
        unet_curve, text_curve = _flat(weight, curve), _flat(weight if text is None else text, te_curve)
        if text is None or text_curve == unet_curve:
            text, te_curve, text_curve = None, (), unet_curve
        hires, hires_te = curve_of(self.hires), curve_of(self.hires_te)
        check_window(self.start, self.stop)
        if self.rank is not None and self.rank < 1:
            raise BadRequest(f"{self.rank} ranks; 1 is the least.")
        settled = {
            "weight": weight,
            "te_weight": text,
            "curve": curve if len(curve) > 1 else (),
            "te_curve": te_curve if len(te_curve) > 1 else (),
            "hires": () if hires == unet_curve else hires,
            "hires_te": () if hires_te == text_curve else hires_te,
            "blocks": blocks_of(self.blocks) if self.blocks else (),
            "start": self.start or None,
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)


def _flat(weight: float, curve: Curve) -> Curve:
    return curve or ((weight, 0.0),)


def _summed(curve: Curve, more: Curve) -> Curve:
    return tuple((_sum(weight, other), place) for (weight, place), (other, _) in zip(curve, more, strict=True))


def _sum(one: float, other: float) -> float:
    return round(one + other, 9)
