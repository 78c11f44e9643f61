"""Nobody sees, does or presses what is not theirs: people x places x things x everything the bot offers.

The people, the places and what each may are in tests/bot/authorisation; `python -m tests.bot.authorisation` prints the
figures. Commands come from the bot's own tree, so one that is new is tried as soon as policy.toml says whom it is for.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from discord import app_commands

import bot
from bot.orders.rights import COMMANDS, Right, is_guild_only, least_right
from tests.bot.authorisation.commands import NEEDED, SERVER_ONLY, names_of, try_commands
from tests.bot.authorisation.components import press_at_once, try_components
from tests.bot.authorisation.desks import MORE, uncovered
from tests.bot.authorisation.town import Tally, loud
from tests.bot.authorisation.usecases import CASES, try_use_cases
from tests.bot.worlds import world

ROOT = Path(bot.__file__).parent


def told(what: str, tally: Tally, least: int) -> None:
    print(f"\n{what}: {tally.cells} cells, {len(tally.leaks)} leaks, {len(tally.faults)} faults")
    assert tally.leaks == []
    assert tally.faults == []
    assert tally.cells >= least


async def test_every_command_has_a_policy_here_and_in_the_table_of_rights(tmp_path: Path) -> None:
    """Both say the same of it, and a command that only one of them knows is found out."""
    async with world(tmp_path) as w:
        names = set(names_of(w.bot.tree))
    assert names - NEEDED.keys() == set(), "say in policy.toml whom these are for"
    assert {name: int(right) for name, right in COMMANDS.items()} == {name: int(rank) for name, rank in NEEDED.items()}
    assert {name for name in COMMANDS if is_guild_only(name)} == SERVER_ONLY


async def test_discord_is_told_whom_commands_are_for(tmp_path: Path) -> None:
    """A group is for whom the least of it is for, and what is about a server is offered in servers alone."""
    wanted = {Right.MEMBER: None, Right.MODERATOR: "manage_messages", Right.ADMIN: "manage_guild", Right.OWNER: ""}
    async with world(tmp_path) as w:
        for command in w.bot.tree.get_commands():
            right = min(
                COMMANDS[name] for name in names_of(w.bot.tree) if name.split(" ")[0] == command.name.split(" ")[0]
            )
            assert least_right(command.name) <= right
            shown = command.default_permissions
            permission = wanted[least_right(command.name)]
            assert (None if shown is None else [name for name, on in shown if on]) == (
                None if permission is None else [permission] if permission else []
            )
            contexts = command.allowed_contexts
            assert isinstance(contexts, app_commands.AppCommandContext)
            assert (contexts.guild, contexts.private_channel) == (True, False)
            assert contexts.dm_channel != is_guild_only(command.name)


async def test_commands(tmp_path: Path) -> None:
    """Used and typed into by everybody everywhere on every adapter: who may not learns and changes nothing."""
    told("commands", await try_commands(tmp_path), 1000)


async def test_use_cases(tmp_path: Path) -> None:
    """Called past every command they check for themselves, and what is not for one is as what there is not."""
    told("use-cases", await try_use_cases(tmp_path / "town", CASES), 1000)


async def test_use_cases_of_every_other_desk(tmp_path: Path) -> None:
    """Questions of others, adapters that are banned or not for everybody, settings, stock; no method is left out."""
    assert uncovered() == set()
    told("desks", await try_use_cases(tmp_path / "town", MORE), 3000)


async def test_components(tmp_path: Path) -> None:
    """Buttons, menus and forms of others, used ones, ones of another time, place or nobody's: nothing comes of them."""
    told("components", await try_components(tmp_path / "town"), 1000)


async def test_fifty_presses_at_once_have_one_effect(tmp_path: Path) -> None:
    effects = await press_at_once(tmp_path / "town")
    assert len(effects) == 14
    assert set(effects.values()) == {1}


async def test_every_kind_of_message_mentions_nobody_else(tmp_path: Path) -> None:
    """First answers, later ones, edits, and messages in channels: those of the matrix are looked at there."""
    async with world(tmp_path) as w:
        await w.drawn("@everyone <@1>")  # an answer, and edits of it
        await w.alice.slash(w.channel, "lora info", adapter="@everyone")
        await w.bob.click(w.channel.last_message, label="Delete")  # a later answer
        w.env.inject_error("PATCH", "/webhooks/*", status=404, code=10015, times=1)
        await w.drawn("@everyone")  # a message in the channel
        paths = {(request.method, request.path.split("/")[1]) for request in w.env.http_requests}
        assert {("POST", "interactions"), ("PATCH", "webhooks"), ("POST", "webhooks"), ("POST", "channels")} <= paths
        assert loud(w.env) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("views/*.py")), ids=lambda path: path.stem)
def test_every_form_is_of_whom_it_was_shown_to(path: Path) -> None:
    """Only `Form` is a bare modal, and only it opens one: discord.py finds a form by its id and asks nobody."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) in ("ui.Modal", "Modal") for base in node.bases)
    ]
    opened = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "send_modal"]
    assert bare == (["Form"] if path.stem == "forms" else [])
    assert len(opened) == (1 if path.stem == "forms" else 0)
