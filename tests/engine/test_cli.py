"""python -m engine: pictures from a shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from engine import builtin_adapter, infotext_exif
from engine.__main__ import main


def test_generate_writes_the_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file a picture, and the seed to draw it again."""
    out = tmp_path / "out.png"
    assert (
        main(["generate", "a house <lora:neon:0.8>", "-o", str(out), "--steps", "2", "--seed", "3", "--count", "2"])
        == 0
    )
    assert out.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out-2.png").exists()
    assert "seed 4" in capsys.readouterr().out


def test_errors_are_one_line_and_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback for a typo."""
    assert main(["generate", "a house", "--steps", "0", "-o", str(tmp_path / "x.png")]) == 1
    assert capsys.readouterr().err == "BadRequest: 0 steps: 1 to 150 are possible.\n"


def test_a_bad_tag_is_told_and_the_picture_drawn_without_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["generate", "a house <lora:noen:0.8>", "--steps", "2", "-o", str(tmp_path / "x.png")]
    assert main(command) == 0
    assert "Did you mean neon?" in capsys.readouterr().err


def test_a_sampler_may_have_its_schedule_behind_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And one that nobody knows is answered with those that there are."""
    command = ["generate", "a house", "-o", str(tmp_path / "x.png"), "--steps", "2", "--sampler"]
    assert main([*command, "DPM++ 2M Karras"]) == 0
    assert main([*command, "Magic"]) == 1
    assert "there are DDIM, Euler" in capsys.readouterr().err


def test_metadata_says_how_a_picture_was_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The infotext that draws it again, and what is in the way."""
    drawn = Image.new("RGB", (8, 8))
    written = (
        "a cat <lora:ink:0.5>\nSteps: 20, Sampler: DPM fast, Seed: 7, Size: 512x512, Model hash: 6ce0161689, "
        'Lora hashes: "ink: 0123456789ab"'
    )
    drawn.save(tmp_path / "a.webp", exif=infotext_exif(written))
    assert main(["metadata", str(tmp_path / "a.webp")]) == 0
    out = capsys.readouterr().out
    assert "made with WebUI" in out
    assert "Model hash: 6ce0161689" in out
    assert "a cat <lora:ink:0.5>\nSteps: 20, Sampler: DPM++ 2M" in out
    assert "- The sampler 'DPM fast' is not here" in out
    drawn.save(tmp_path / "b.png")
    assert main(["metadata", str(tmp_path / "b.png")]) == 1
    assert capsys.readouterr().err.startswith("MetadataUnreadable: This picture does not say")


def test_inspect_says_what_a_file_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Format, family, layers, trigger words and hashes."""
    assert main(["inspect", str(builtin_adapter("ink"))]) == 0
    out = capsys.readouterr().out
    assert "LoRA for built-in" in out
    assert "inkwash" in out
    assert "192 in unet, 12 in text_encoder" in out
    for fact in ("ranks         5", "alphas        5", "network dim 5", "SHA-256", "tensor hash", "AutoV1, 2, 3"):
        assert fact in out
