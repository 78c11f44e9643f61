"""The recipe of the built-in model: `python -m engine.builtin.train`. Resumable, seeds fixed, hours on two cores.

    tokenizer -> vae -> latents -> unet -> ink, neon, light -> install

Each stage leaves its result in --work and is skipped when that is there; a stopped stage goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from .adapters import train_adapter
from .autoencoder import train_autoencoder
from .denoiser import encode_pictures, train_denoiser
from .gang import run_gang
from .styles import STYLES
from .vocabulary import write_tokenizer

HERE = Path(__file__).parent


def main() -> None:
    args = _parser().parse_args()
    work: Path = args.work
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "tokenizer" / "vocab.json").exists():
        write_tokenizer(work / "tokenizer")
    if not (work / "vae").exists():
        run_gang(train_autoencoder, args.workers, 7, work, args.vae_steps)
    run_gang(encode_pictures, args.workers, 7, work, args.pictures)
    if not (work / "model").exists():
        run_gang(train_denoiser, args.workers, 3, work, args.unet_steps)
    for style in STYLES:
        if not (work / f"{style}.safetensors").exists():
            run_gang(train_adapter, args.workers, 1, work, style, args.adapter_steps)
    install(work)


def install(work: Path) -> None:
    """Copies the finished model and adapters to where the engine looks for them, readable for everyone."""
    shutil.copytree(work / "model", HERE / "model", dirs_exist_ok=True)
    for style in STYLES:
        shutil.copy(work / f"{style}.safetensors", HERE / f"{style}.safetensors")
    for path in (*(HERE / "model").rglob("*"), *HERE.glob("*.safetensors")):
        if path.is_file():
            path.chmod(0o644)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.builtin.train", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("builtin-training"), help="checkpoints and results")
    parser.add_argument("--workers", type=int, default=2, help="processes, one a core")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--vae-steps", type=int, default=2600)
    parser.add_argument("--unet-steps", type=int, default=5600)
    parser.add_argument("--adapter-steps", type=int, default=700)
    return parser


if __name__ == "__main__":
    main()
