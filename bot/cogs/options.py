"""The options of commands as types: each knows how to read what was typed, and what to offer while typing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import aiohttp
import discord
from babel import Locale
from discord import app_commands

from engine import SAMPLERS, SCHEDULES, UPSCALERS, Axis, BadRequest, ImageUnreadable, ModelNotFound, read_axis

from ..language import NAME, answering, available, named
from ..orders import CatalogEntry, SettingRefused
from ..views import asking
from ..views.text import shortened, weight

OFFERED = 25  # the most that Discord shows
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp")
_SIZE = re.compile(r"\s*(\d{1,5})\s*[x×*, ]\s*(\d{1,5})\s*|\s*(\d{1,5})\s*", re.IGNORECASE)
_SIZES = {  # what each family was trained at, or bears well; width and height in pixels
    "built-in": ("128x128", "128x192", "192x128", "192x192"),
    "SD 2": ("768x768", "768x512", "512x768", "1024x576", "576x1024"),
    "SDXL": (
        *("1024x1024", "896x1152", "1152x896", "832x1216", "1216x832"),
        *("768x1344", "1344x768", "640x1536", "1536x640"),
    ),
}
_USUAL_SIZES = ("512x512", "512x768", "768x512", "512x640", "640x512", "640x640")  # SD 1.5
_AXES = ("seed: 1-4", "steps: 10, 20, 30", "cfg: 3-9 (+2)", "sampler: DDIM, Euler a", "prompt: red, blue, green")
Choice = app_commands.Choice[str]


def _choices(names: list[str]) -> list[Choice]:
    return [app_commands.Choice(name=name[:100], value=name[:100]) for name in names[:OFFERED]]


class Size(app_commands.Transformer):
    """Width and height, as in "512x768"; one number is a square."""

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> tuple[int, int]:
        return read_size(value)

    async def autocomplete(  # type: ignore[override]  # discord.py types the value of every option at once
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        sizes = _SIZES.get(await _family(interaction), _USUAL_SIZES)
        return _choices([size for size in sizes if size.startswith(value.strip())])


class AdapterName(app_commands.Transformer):
    """An adapter to draw with, as its short id or as whatever was typed; offered are those that fit the base model.

    Whether this person sees it is asked where it is used: what is offered is no permission.
    """

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        return value.strip()

    async def autocomplete(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        return _adapter_choices(await self.offered(interaction, value.strip(), await _family(interaction) or None))

    async def offered(
        self, interaction: discord.Interaction[Any], typed: str, family: str | None
    ) -> tuple[CatalogEntry, ...]:
        found: tuple[CatalogEntry, ...] = await interaction.client.orders.adapters(
            asking.who(interaction), typed, family, OFFERED
        )
        return found


class AnyAdapter(AdapterName):
    """An adapter to look at, whatever it fits."""

    async def offered(
        self, interaction: discord.Interaction[Any], typed: str, family: str | None
    ) -> tuple[CatalogEntry, ...]:
        return await super().offered(interaction, typed, None)


class OwnAdapter(AdapterName):
    """An adapter of one's own, to change."""

    async def offered(
        self, interaction: discord.Interaction[Any], typed: str, family: str | None
    ) -> tuple[CatalogEntry, ...]:
        found: tuple[CatalogEntry, ...] = await interaction.client.shelf.mine(asking.who(interaction), typed, OFFERED)
        return found


class FamilyName(app_commands.Transformer):
    """A family of base models; offered are those of the adapters that this person sees."""

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        families, _ = await interaction.client.shelf.facets(asking.who(interaction))
        typed = value.strip().casefold()
        return next((family for family in families if family.casefold() == typed), value.strip())

    async def autocomplete(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        families, _ = await interaction.client.shelf.facets(asking.who(interaction))
        return _choices([family for family in families if value.strip().casefold() in family.casefold()])


class TagName(app_commands.Transformer):
    """A tag of adapters; offered are those that this person sees, the most frequent first."""

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        return value.strip().removeprefix("#").casefold()

    async def autocomplete(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        _, tags = await interaction.client.shelf.facets(asking.who(interaction))
        return _choices([tag for tag in tags if value.strip().casefold() in tag])


def _adapter_choices(entries: Sequence[CatalogEntry]) -> list[Choice]:
    """Shown with what it fits and how strongly it is used; its short id is what the command gets."""
    return [
        app_commands.Choice(
            name=shortened(" · ".join(filter(None, (entry.name, entry.info.family, weight(entry.weight)))), 100),
            value=entry.short_id,
        )
        for entry in entries[:OFFERED]
    ]


class KnownModel(app_commands.Transformer):
    """The name of a base model, whether it may be drawn with here or not."""

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        name = value.strip()
        if name not in interaction.client.models.names():
            raise ModelNotFound(f"There is no model called {name[:50]!r} here; choose one that is offered.")
        return name

    async def autocomplete(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        names = await self._offered(interaction)
        return _choices([name for name in names if value.strip().casefold() in name.casefold()])

    async def _offered(self, interaction: discord.Interaction[Any]) -> Sequence[str]:
        names: Sequence[str] = interaction.client.models.names()
        return names


class ModelName(KnownModel):
    """The name of a base model; offered are those that may be drawn with here."""

    async def _offered(self, interaction: discord.Interaction[Any]) -> Sequence[str]:
        settings = await interaction.client.settings.of(asking.who(interaction))
        return settings.models or ()


class SamplerName(app_commands.Transformer):
    """One of the engine's samplers."""

    @property
    def choices(self) -> list[Choice]:  # type: ignore[override]
        return _choices(list(SAMPLERS))

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        return value


class ScheduleName(app_commands.Transformer):
    """One of the engine's schedules of noise levels."""

    @property
    def choices(self) -> list[Choice]:  # type: ignore[override]
        return _choices(list(SCHEDULES))

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        return value


class UpscalerName(app_commands.Transformer):
    """One of the engine's ways to enlarge a picture for its second pass."""

    @property
    def choices(self) -> list[Choice]:  # type: ignore[override]
        return _choices(list(UPSCALERS))

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        return value


class LanguageName(app_commands.Transformer):
    """One of the languages that members can be answered in, as a locale; offered by their own names."""

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        if value not in _languages():
            raise SettingRefused(f"{value[:20]!r} is no language that is spoken here; choose one that is offered.")
        return value

    async def autocomplete(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        offered = {locale: Locale.parse(locale, sep="-").get_display_name() or locale for locale in _languages()}
        return [app_commands.Choice(name=name, value=locale) for locale, name in offered.items()][:OFFERED]


class SettingName(app_commands.Transformer):
    """One of the settings, offered as its option is called."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        if value not in self._names:
            raise SettingRefused(f"There is no setting called {value[:50]!r} here; choose one that is offered.")
        return value

    async def autocomplete(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        labels = {name: named(name, answering(), NAME) or name for name in self._names}
        typed = value.strip().casefold()
        return [app_commands.Choice(name=label, value=name) for name, label in labels.items() if typed in label]


class VaeName(app_commands.Transformer):
    """The name of a VAE from the configuration."""

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        name = value.strip()
        if name not in interaction.client.config.engine.vaes:
            raise ModelNotFound(f"There is no VAE called {name[:50]!r} here; choose one that is offered.")
        return name

    async def autocomplete(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        names = interaction.client.config.engine.vaes
        return _choices([name for name in names if value.strip().casefold() in name.casefold()])


class AxisText(app_commands.Transformer):
    """One axis of a grid, as `engine.read_axis` reads it; offered are examples, the weights of adapters first."""

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> Axis:
        return read_axis(value)

    async def autocomplete(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        typed = value.strip().casefold()
        orders, family = interaction.client.orders, await _family(interaction) or None
        named = typed.removeprefix("weight").strip().partition(":")[0]
        found = await orders.adapters(asking.who(interaction), named if typed.startswith("weight") else "", family, 10)
        names = [entry.public_name for entry in found]  # the sheet shows them
        examples = [f"weight {name}: 0-1 [5]" for name in names]
        if names:
            examples.insert(1, f"adapter: none, {', '.join(names[:4])}")
        return _choices([text for text in (*examples, *_AXES) if text.casefold().startswith(typed)])


def read_size(text: str) -> tuple[int, int]:
    """Width and height of "512x768", or of "512" for a square."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise BadRequest(f"I cannot read {text[:50]!r} as a size; write it as 512x768.")
    width, height, square = match.groups()
    return int(square or width), int(square or height)


async def read_image(interaction: asking.Interaction, image: discord.Attachment) -> bytes:
    """The picture sent along, where it is one and not too large."""
    most = interaction.client.config.limits.image_megabytes
    if image.size > most << 20:
        raise ImageUnreadable(f"That picture has {image.size / (1 << 20):.1f} MB; {most} MB is the most.")
    if (image.content_type or "").split(";")[0] not in IMAGE_TYPES:
        raise ImageUnreadable("That file is no picture that I can read; send a PNG, JPEG or WebP.")
    try:
        return await image.read()
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        raise ImageUnreadable("Your picture could not be fetched from Discord; send it once more.") from error


async def _family(interaction: discord.Interaction[Any]) -> str:
    """Of the base model that the command names so far, or else of the one that this person draws with here."""
    family: str = await interaction.client.orders.family(asking.who(interaction), interaction.namespace.model or "")
    return family


def _languages() -> tuple[str, ...]:
    return ("en-US", *available())
