"""Interactions as anybody could bring them about: SimCord's actors do only what Discord's own screens allow.

What Discord shows is no protection: servers change it, and screens lag behind. So the bot gets from here what it should
refuse by itself: commands of others, buttons of others' cards, forms of others, ids that were made up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import simcord
from simcord import interactions
from simcord.backend import serializers
from simcord.backend.errors import BackendError

COMMAND, COMPONENT, AUTOCOMPLETE, FORM = 2, 3, 4, 5
SUB, GROUP = 1, 2
PATIENCE = 20.0  # seconds


@dataclass(frozen=True)
class Actor:
    """Who interacts, and where. `guild_id` None is a direct message; `adult` an age-restricted channel."""

    user_id: int
    channel_id: int
    guild_id: int | None
    adult: bool = False


@dataclass(frozen=True)
class Forged:
    """An interaction that is on its way: SimCord's record of it, and the bot's tasks that answer it."""

    record: Any
    tasks: frozenset[asyncio.Task[Any]]

    async def over(self) -> Forged:
        """The bot has done with it."""
        if self.tasks:
            _, late = await asyncio.wait(self.tasks, timeout=PATIENCE)
            assert not late, f"the bot still works on {self.record}"
        return self


def actor(member: simcord.MemberActor, channel: simcord.ChannelHandle) -> Actor:
    return Actor(member.id, channel.id, member.guild.id)


def command(env: simcord.Env, by: Actor, name: str, options: Sequence[Mapping[str, Any]] = (), **data: Any) -> Forged:
    """The slash command of that qualified name, with options as Discord writes them; `data` has what they refer to."""
    return _emit(env, by, COMMAND, _chat_input(env, name, options) | data)


def typing(env: simcord.Env, by: Actor, name: str, options: Sequence[Mapping[str, Any]]) -> Forged:
    """Somebody types into the option that says `focused`."""
    return _emit(env, by, AUTOCOMPLETE, _chat_input(env, name, options))


def menu(env: simcord.Env, by: Actor, name: str, message: Any) -> Forged:
    """The command of that name in the menu of a message."""
    root = env.backend.find_command(name, by.guild_id, type=3)
    payload = dict(serializers.message_payload(env.backend, message))
    data = {"id": root["id"], "name": name, "type": 3, "target_id": str(message.id)}
    return _emit(env, by, COMMAND, data | {"resolved": {"messages": {str(message.id): payload}}})


def press(env: simcord.Env, by: Actor, message: Any, custom_id: str, values: Sequence[str] | None = None) -> Forged:
    """A button of that id, or with `values` a choice in a menu, pressed on the message, whether it has one or not."""
    data: dict[str, Any] = {"custom_id": custom_id, "component_type": 2 if values is None else 3}
    if values is not None:
        data["values"] = list(values)
    return _emit(env, by, COMPONENT, data, message)


def send_form(env: simcord.Env, by: Actor, form: Mapping[str, Any], values: Mapping[str, Any]) -> Forged:
    """The form that somebody was shown is sent by `by`."""
    components = [
        {"type": 18, "component": _filled(row["component"], values.get(row["component"]["custom_id"]))}
        for row in form["components"]
    ]
    return _emit(env, by, FORM, {"custom_id": form["custom_id"], "components": components})


def answers(env: simcord.Env, to: Forged) -> list[Any]:
    """The messages that answered, as they are now: the first answer, then what followed."""
    record = to.record
    ids = [record.message_id, *record.followup_ids]
    found = []
    for message_id in ids:
        if message_id is not None:
            try:
                found.append(env.backend.get_message(record.channel_id, message_id))
            except BackendError:
                continue  # it was deleted
    return found


def _filled(component: Mapping[str, Any], value: Any) -> dict[str, Any]:
    kept = {"type": component["type"], "custom_id": component["custom_id"], "id": component.get("id", 1)}
    if component["type"] == 4:
        return kept | {"value": value if value is not None else component.get("value", "")}
    return kept | {"values": list(value) if value is not None else [component["options"][0]["value"]]}


def _with_component(message: dict[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The message with the pressed component on it: discord.py ignores what is not there."""
    if f'"{data["custom_id"]}"' in json.dumps(message["components"]):
        return message
    component = {"type": data["component_type"], "custom_id": data["custom_id"], "id": 900}
    if component["type"] == 3:
        component["options"] = [{"label": value, "value": value} for value in data["values"]]
    else:
        component |= {"style": 2, "label": "forged"}
    return message | {"components": [*message["components"], {"type": 1, "id": 901, "components": [component]}]}


def _chat_input(env: simcord.Env, name: str, options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, *path = name.split(" ")
    root = env.backend.find_command(first, None, type=1)
    nested: list[Any] = [dict(option) for option in options]
    for depth in reversed(range(len(path))):
        nested = [{"name": path[depth], "type": SUB if depth == len(path) - 1 else GROUP, "options": nested}]
    return {"id": root["id"], "name": first, "type": 1, "options": nested}


def _emit(env: simcord.Env, by: Actor, kind: int, data: Mapping[str, Any], message: Any = None) -> Forged:
    """The interaction is on its way to the bot."""
    record, payload = interactions.base_payload(
        env.backend,
        type=kind,
        channel_id=by.channel_id,
        guild_id=by.guild_id,
        user_id=by.user_id,
        data=dict(data),
    )
    payload["channel"]["nsfw"] = by.adult  # SimCord knows no age-restricted channels
    if message is not None:
        payload["message"] = _with_component(dict(serializers.message_payload(env.backend, message)), data)
        record.source_message_id = message.id
    before = asyncio.all_tasks()
    env.backend.emit("INTERACTION_CREATE", payload)  # discord.py makes its tasks at once
    return Forged(record, frozenset(asyncio.all_tasks() - before))
