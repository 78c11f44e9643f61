"""python -m engine generate | inspect | metadata | bench"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Literal

from . import (
    EngineConfig,
    EngineError,
    Grid,
    Hires,
    Request,
    inspect_adapter,
    read_axis,
    read_picture,
    run,
    write_infotext,
)
from .config import BUILTIN
from .types import SAMPLERS, SCHEDULES, AdapterInfo


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 after one line on stderr that says what is wrong."""
    try:
        args = _parser().parse_args(arguments)
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
        schedule=args.schedule,
        count=args.count,
        width=args.width,
        height=args.height,
        image=args.image.read_bytes() if args.image else None,
        strength=args.strength,
        mask=args.mask.read_bytes() if args.mask else None,
        hires=Hires(args.hires) if args.hires else None,
        grid=Grid(args.grid_x, args.grid_y) if args.grid_x else None,
    )
    result = run(request, config)
    for i, picture in enumerate(result.pictures):
        target = args.output if i == 0 else args.output.with_stem(f"{args.output.stem}-{i + 1}")
        target.write_bytes(picture.png)
        print(f"{target}: {picture.width}x{picture.height}, seed {picture.seed}")
    for report in result.reports:
        print(report)
    for note in (*result.notes, *result.remarks):
        print(note, file=sys.stderr)
    print(f"{result.seconds:.1f} s")
    return 0


def _inspect(args: argparse.Namespace) -> int:
    for path in args.files:
        info = inspect_adapter(path)
        print(f"{path}: {info.format} for {' or '.join(info.fits) or 'an unknown base model'}, {info.size:,} bytes")
        for what, text in _facts(info).items():
            print(f"  {what:<14}{text}")
        for note in info.notes:
            print(f"  note: {note}")
    return 0


def _facts(info: AdapterInfo) -> dict[str, str]:
    return {
        "title": info.title or "not stated",
        "author": info.author or "not stated",
        "licence": info.license or "not stated",
        "layers": ", ".join(f"{count} in {part}" for part, count in info.modules.items()),
        "ranks": ", ".join(map(str, info.ranks)) or "none",
        "alphas": ", ".join(f"{alpha:g}" for alpha in info.alphas) or "none",
        "trigger words": ", ".join(info.triggers) or "none stated",
        "trained": ", ".join(f"{what} {text}" for what, text in info.trained.items()) or "not stated",
        "SHA-256": info.sha256,
        "tensor hash": info.tensor_sha256,
        "AutoV1, 2, 3": f"{info.autov1}, {info.autov2}, {info.autov3}",
    }


def _metadata(args: argparse.Namespace) -> int:
    for path in args.files:
        reading = read_picture(path.read_bytes())
        request = reading.request
        print(f"{path}: made with {reading.source}")
        digits = reading.fields.get("Model hash", "")
        print(write_infotext(request, request.seed, request.model, reading.hashes, model_hash=digits))
        for note in reading.notes:
            print(f"- {note}")
    return 0


def _bench(args: argparse.Namespace) -> int:
    from .adapters.bench import switch  # torch loads only where it is needed
    from .adapters.soak import soak

    size: Literal["small", "sd15", "sdxl"] = "small" if args.small else "sdxl" if args.sdxl else "sd15"
    print(switch(size, args.device) if args.what == "switch" else soak(size, args.device))
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
    generate.add_argument("--sampler", default="DDIM", help=f'{", ".join(SAMPLERS)}; or as in "DPM++ 2M Karras"')
    generate.add_argument("--schedule", choices=("", *SCHEDULES), default="", help="the sampler's own if left out")
    generate.add_argument("--count", type=int, default=1)
    generate.add_argument("--width", type=int)
    generate.add_argument("--height", type=int)
    generate.add_argument("--image", type=Path, help="start from this picture")
    generate.add_argument("--strength", type=float, default=0.6)
    generate.add_argument("--mask", type=Path, help="draw only what is white on this picture")
    generate.add_argument("--hires", type=float, metavar="SCALE", help="draw a second time, so many times larger")
    generate.add_argument(
        "--grid-x", type=read_axis, metavar="AXIS", help='a sheet: "weight ink: 0-1 [5]", "seed: 1-4"'
    )
    generate.add_argument("--grid-y", type=read_axis, metavar="AXIS", help="its rows")
    generate.add_argument("--device", default="auto")
    generate.add_argument("--peft", action="store_true", help="load adapters through diffusers and PEFT")
    generate.set_defaults(act=_generate)
    inspect = commands.add_parser("inspect", help="say what adapter files are")
    inspect.add_argument("files", type=Path, nargs="+")
    inspect.set_defaults(act=_inspect)
    metadata = commands.add_parser("metadata", help="say how pictures were made, from what is written in them")
    metadata.add_argument("files", type=Path, nargs="+")
    metadata.set_defaults(act=_metadata)
    bench = commands.add_parser("bench", help="measure adapter switching on this machine: how fast, what it leaves")
    bench.add_argument("what", choices=["switch", "memory"])
    sizes = bench.add_mutually_exclusive_group()
    sizes.add_argument("--small", action="store_true", help="the built-in model only: seconds instead of minutes")
    sizes.add_argument("--sdxl", action="store_true", help="a UNet of SDXL's size instead of SD 1.5's: 16 GB of memory")
    bench.add_argument("--device", default="cpu", help="such as cuda")
    bench.set_defaults(act=_bench)
    return parser


if __name__ == "__main__":
    sys.exit(main())
