"""/settings server, channel, me: what counts there, shown without an option and changed with some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discord import app_commands
from discord.app_commands import Range, Transform

from ..orders import Level, Settings, SettingsChange
from ..orders.governing import MINE
from ..orders.settings import MOST_JOBS, MOST_SECONDS, NAMES, NOTHING
from ..views import asking
from ..views.settings import settings_card
from .options import AdapterName, KnownModel, LanguageName, ModelName, SamplerName, SettingName, Size

if TYPE_CHECKING:
    from ..client import Bot

Adapter = Transform[str | None, AdapterName]
Model = Transform[str | None, KnownModel]


Name = Transform[str | None, SettingName(NAMES)]
OwnName = Transform[str | None, SettingName([name for name in NAMES if name in MINE])]


def _about(level: Level) -> Any:  # discord.py reads its parameters, which no type of it can say
    """What the command for a level that is not one's own does."""

    @app_commands.describe(
        model="What is drawn with where an order names no model.",
        negative="What is kept out of pictures where an order does not say.",
        size="Width and height where an order names none, such as 512x768.",
        steps="How many steps where an order does not say.",
        cfg="How closely to follow the words where an order does not say.",
        sampler="How the steps are taken where an order does not say.",
        allow_model="Only this model may be used, and others that were allowed.",
        forbid_model="Takes a model off the list of those that may be used.",
        allow_adapter="Only this adapter may be used, and others that were allowed.",
        forbid_adapter="Takes an adapter off the list of those that may be used.",
        jobs_per_member="How many orders one person may have waiting or running.",
        seconds_per_day="How many seconds of drawing one person may order in 24 hours.",
        mature="Whether what is not for everybody may be made, in age-restricted channels.",
        real_people="Whether adapters of real people may be used.",
        language="The language of answers that everybody sees.",
        reset="A setting that is no longer said here, so that it is as elsewhere.",
    )
    async def change(
        interaction: asking.Interaction,
        model: Model = None,
        negative: Range[str, 0, 6000] | None = None,
        size: Transform[tuple[int, int] | None, Size] = None,
        steps: Range[int, 1, 150] | None = None,
        cfg: Range[float, 0.0, 50.0] | None = None,
        sampler: Transform[str | None, SamplerName] = None,
        allow_model: Model = None,
        forbid_model: Model = None,
        allow_adapter: Adapter = None,
        forbid_adapter: Adapter = None,
        jobs_per_member: Range[int, 1, MOST_JOBS] | None = None,
        seconds_per_day: Range[int, 1, MOST_SECONDS] | None = None,
        mature: bool | None = None,
        real_people: bool | None = None,
        language: Transform[str | None, LanguageName] = None,
        reset: Name = None,
    ) -> None:
        width, height = size or (None, None)
        said = Settings(
            model=model,
            negative=negative,
            width=width,
            height=height,
            steps=steps,
            cfg=cfg,
            sampler=sampler,
            jobs_per_member=jobs_per_member,
            seconds_per_day=seconds_per_day,
            mature=mature,
            real_people=real_people,
            language=language,
        )
        wanted = SettingsChange(
            said=said,
            reset=frozenset({reset} if reset else ()),
            allow_model=allow_model,
            forbid_model=forbid_model,
            allow_adapter=allow_adapter,
            forbid_adapter=forbid_adapter,
        )
        await _answer(interaction, level, wanted)

    return change


settings = app_commands.Group(name="settings", description="What counts in this server, in this channel, and for you.")
settings.command(name="server", description="Shows or changes what counts in this server.")(_about(Level.SERVER))
settings.command(name="channel", description="Shows or changes what counts in this channel.")(_about(Level.CHANNEL))


@settings.command(description="Shows what counts for you here, or changes what you have chosen.")
@app_commands.describe(
    model="What you draw with where you name no model.",
    negative="What is kept out of your pictures where you do not say.",
    size="Width and height where you name none, such as 512x768.",
    steps="How many steps where you do not say.",
    cfg="How closely to follow the words where you do not say.",
    sampler="How the steps are taken where you do not say.",
    mature="Whether you make what is not for everybody, where that is allowed.",
    language="The language in which you are answered.",
    reset="A choice of yours that you take back.",
)
async def me(
    interaction: asking.Interaction,
    model: Transform[str | None, ModelName] = None,
    negative: Range[str, 0, 6000] | None = None,
    size: Transform[tuple[int, int] | None, Size] = None,
    steps: Range[int, 1, 150] | None = None,
    cfg: Range[float, 0.0, 50.0] | None = None,
    sampler: Transform[str | None, SamplerName] = None,
    mature: bool | None = None,
    language: Transform[str | None, LanguageName] = None,
    reset: OwnName = None,
) -> None:
    width, height = size or (None, None)
    said = Settings(
        model=model,
        negative=negative,
        width=width,
        height=height,
        steps=steps,
        cfg=cfg,
        sampler=sampler,
        mature=mature,
        language=language,
    )
    await _answer(interaction, Level.MEMBER, SettingsChange(said=said, reset=frozenset({reset} if reset else ())))


async def _answer(interaction: asking.Interaction, level: Level, wanted: SettingsChange) -> None:
    """What counts, after the change where one is wanted. Only whoever asks sees it."""
    desk, who = interaction.client.settings, asking.who(interaction)
    changed = wanted != SettingsChange(said=NOTHING)
    found = await (desk.change(who, level, wanted) if changed else desk.shown(who, level))
    await interaction.response.send_message(view=settings_card(found, level, changed=changed), ephemeral=True)


async def setup(bot: Bot) -> None:
    bot.tree.add_command(settings)


async def teardown(bot: Bot) -> None:
    bot.tree.remove_command(settings.name)
