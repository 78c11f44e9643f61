"""File names from outside are one safe component, whatever they were."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.importing.names import file_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ink.safetensors", "ink.safetensors"),
        ("Ink Style v2.SafeTensors", "Ink Style v2.safetensors"),
        ("ink.safetensor", "ink.safetensors"),
        ("../../etc/passwd", "passwd.safetensors"),
        ("..%2f..%2fink.safetensors", "ink.safetensors"),
        ("C:\\loras\\ink.safetensors", "ink.safetensors"),
        ("ink.safetensors/", "adapter.safetensors"),
        ("", "adapter.safetensors"),
        ("...", "adapter.safetensors"),
        (".hidden", "hidden.safetensors"),
        ("ink\0.safetensors", "ink.safetensors"),
        ("ink\u202egnp.safetensors", "inkgnp.safetensors"),
        ("CON", "adapter-CON.safetensors"),
        ("com1.tar", "adapter-com1.tar.safetensors"),
        ("墨.safetensors", "墨.safetensors"),
        ("e\u0301.safetensors", "é.safetensors"),
        ("a" * 4096, "a" * 100 + ".safetensors"),
        ('<a href="x">?*|', "_a href=_x_____.safetensors"),
        ("ink.pt", "ink.pt.safetensors"),
        ("trailing. . ", "trailing.safetensors"),
    ],
)
def test_a_name_becomes(text: str, name: str) -> None:
    assert file_name(text) == name


@given(st.text(max_size=300))
def test_no_name_leaves_its_folder(text: str) -> None:
    name = file_name(text)
    assert pathlib.PurePosixPath(name).name == name == pathlib.PureWindowsPath(name).name
    assert name.endswith(".safetensors")
    assert not name.startswith(".")
    assert len(name) <= 140
    assert name.isprintable()
    assert file_name(name) == name
