"""python -m engine generate | inspect | metadata | bench"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import EngineConfig, EngineError, Request, inspect_adapter, read_picture, run, write_infotext
from .config import BUILTIN
from .types import SAMPLERS


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 after one line on stderr that says what is wrong."""
    args = _parser().parse_args(arguments)
    try:
        code: int = args.act(args)
    except EngineError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return code


def _generate(args: argparse.Namespace) -> int:
    models = {} if args.model == BUILTIN else {"base": args.model}
    config = EngineConfig(
        models=models,
        model=next(iter(models), BUILTIN),
        adapter_folders=tuple(args.adapters),
        adapters="peft" if args.peft else "merge",
        device=args.device,
    )
    request = Request(
        prompt=args.prompt,
        negative=args.negative,
        seed=args.seed,
        steps=args.steps,
        cfg=args.cfg,
        sampler=args.sampler,
        count=args.count,
        width=args.width,
        height=args.height,
        image=args.image.read_bytes() if args.image else None,
        strength=args.strength,
    )
    result = run(request, config)
    for i, picture in enumerate(result.pictures):
        target = args.output if i == 0 else args.output.with_stem(f"{args.output.stem}-{i + 1}")
        target.write_bytes(picture.png)
        print(f"{target}: {picture.width}x{picture.height}, seed {picture.seed}")
    for report in result.reports:
        print(report)
    print(f"{result.seconds:.1f} s")
    return 0


def _inspect(args: argparse.Namespace) -> int:
    for path in args.files:
        info = inspect_adapter(path)
        parts = ", ".join(f"{count} in {part}" for part, count in info.modules.items())
        print(f"{path}: {info.format} for {info.family or 'an unknown base model'}, {info.size:,} bytes")
        print(f"  ranks {', '.join(map(str, info.ranks))}; layers: {parts}")
        print(f"  trigger words: {', '.join(info.triggers) or 'none stated'}")
        print(f"  by {info.author or 'an unknown author'}, licence {info.license or 'not stated'}")
        print(f"  SHA-256 {info.sha256}\n  AutoV3  {info.tensor_sha256[:12]}")
    return 0


def _metadata(args: argparse.Namespace) -> int:
    for path in args.files:
        reading = read_picture(path.read_bytes())
        request = reading.request
        print(f"{path}: made with {reading.source}")
        print(write_infotext(request, request.seed, request.model, reading.hashes))
        for note in reading.notes:
            print(f"- {note}")
    return 0


def _bench(args: argparse.Namespace) -> int:
    from .adapters.bench import switch  # torch loads only where it is needed

    print(switch(small=args.small))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Pictures and adapters, without Discord.")
    commands = parser.add_subparsers(required=True)
    generate = commands.add_parser("generate", help="draw a picture")
    generate.add_argument("prompt", help='may hold tags: "a house <lora:neon:0.8>"')
    generate.add_argument("-o", "--output", type=Path, default=Path("out.png"))
    generate.add_argument("--negative", default="")
    generate.add_argument(
        "--model", default=BUILTIN, help="a diffusers folder, a Hugging Face id or a .safetensors file"
    )
    generate.add_argument(
        "--adapters", type=Path, action="append", default=[], help="a folder of .safetensors adapters"
    )
    generate.add_argument("--seed", type=int)
    generate.add_argument("--steps", type=int, default=20)
    generate.add_argument("--cfg", type=float)
    generate.add_argument("--sampler", choices=SAMPLERS, default="DDIM")
    generate.add_argument("--count", type=int, default=1)
    generate.add_argument("--width", type=int)
    generate.add_argument("--height", type=int)
    generate.add_argument("--image", type=Path, help="start from this picture")
    generate.add_argument("--strength", type=float, default=0.6)
    generate.add_argument("--device", default="auto")
    generate.add_argument("--peft", action="store_true", help="load adapters through diffusers and PEFT")
    generate.set_defaults(act=_generate)
    inspect = commands.add_parser("inspect", help="say what adapter files are")
    inspect.add_argument("files", type=Path, nargs="+")
    inspect.set_defaults(act=_inspect)
    metadata = commands.add_parser("metadata", help="say how pictures were made, from what is written in them")
    metadata.add_argument("files", type=Path, nargs="+")
    metadata.set_defaults(act=_metadata)
    bench = commands.add_parser("bench", help="measure adapter switching on this machine")
    bench.add_argument("what", choices=["switch"])
    bench.add_argument("--small", action="store_true", help="the built-in model only: seconds instead of minutes")
    bench.set_defaults(act=_bench)
    return parser


if __name__ == "__main__":
    sys.exit(main())
