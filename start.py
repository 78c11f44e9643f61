#!/usr/bin/env python3
"""Sets Loraloom up beside this file, in `.venv`, and starts it. Needs Python 3.11 or newer and nothing else.

    python3 start.py                     set up when needed, then run: on Discord, or without a token as sandbox
    python3 start.py test [--fast] ...   set up, then the whole check; --fast leaves slow tests out, ... is for pytest
    python3 start.py doctor ...          anything else goes to `python -m bot`

PyTorch is whatever build pip finds for this computer: with CUDA on Linux, with Metal on a Mac, for the processor on
Windows. Another build of the same version is had from the index that pytorch.org names under "Get Started": put its
address into PIP_EXTRA_INDEX_URL and delete `.venv`. The CPU build saves gigabytes on Linux without an NVIDIA card; the
CUDA build lets Loraloom use the card on Windows.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  this file is read by older Pythons too, to say just this
    sys.exit(
        "Loraloom needs Python 3.11 or newer, and this is Python {}.{}.\n"
        "Install a newer one from python.org, then start this again with it.".format(*sys.version_info[:2])
    )

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
WINDOWS = os.name == "nt"
PYTEST = ("pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile")  # a file's tests share what they start
BEGIN_ANEW = 75  # the exit status of a bot whose engine broke
TAIL = 20  # lines of pip's own words that are shown when it fails

REMEDIES = (
    ("No space left on device", "The disk is full. Loraloom needs 2 GB, on Linux with an NVIDIA card up to 8 GB."),
    (
        "No matching distribution found for torch",
        "PyTorch has no build for this Python: it wants 64 bits, not the very newest Python, and on a Mac an M1.",
    ),
    ("WinError 5", "A running Loraloom still uses these files. Stop it, then start this again."),
    ("Retrying (", "The packages could not be reached. When this computer is online, start this again."),
    ("Read timed out", "The line was too slow. Start this again: what has arrived is kept."),
)


class SetUpFailed(Exception):
    """The set-up could not be finished; the message says why and what helps."""


# ---------------------------------------------------------------------------------------------------- the environment


def python_in(venv: Path, windows: bool = WINDOWS) -> Path:
    return venv / "Scripts" / "python.exe" if windows else venv / "bin" / "python"


def stamp_of(root: Path) -> tuple[str, str]:
    """What `.venv` depends on: the place (a change needs a new one) and what is wanted in it (a change needs pip)."""
    place = f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]} {platform.machine()}"
    wanted = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        wanted.update((root / name).read_bytes() + b"\0")
    return ascii(f"{place} at {sys.base_prefix} for {root}"), wanted.hexdigest()


def set_up(root: Path) -> Path:
    """`.venv` holds what pyproject.toml and constraints.txt ask for. Gives its Python; at once if it did before."""
    venv = root / ".venv"
    python = python_in(venv)
    stamp = venv / "loraloom-setup.txt"  # written last and removed first: without it nothing in .venv is trusted
    place, wanted = stamp_of(root)
    found = stamp.read_text("utf-8").splitlines() if stamp.is_file() and python.is_file() else []
    if found == [place, wanted]:
        return python

    began = time.monotonic()
    if found[:1] == [place]:
        print("Loraloom has changed: updating its packages.", flush=True)
    else:
        print("Setting Loraloom up in the folder .venv. This is done once and takes a few minutes,", flush=True)
        print("most of it fetching PyTorch. You can stop it with Ctrl-C and start again later.", flush=True)
        build(venv)
    install(python, root, before_writing=lambda: stamp.unlink(missing_ok=True))
    stamp.write_text(f"{place}\n{wanted}\n", "utf-8")
    print(f"Ready, after {spoken(time.monotonic() - began)}.", flush=True)
    if WINDOWS and shutil.which("nvidia-smi"):
        print("This computer has an NVIDIA card. To draw on it, read the first lines of start.py.", flush=True)
    return python


def build(venv: Path) -> None:
    """A fresh, empty `.venv` with pip."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetUpFailed(
            "This Python cannot make virtual environments yet. On Debian and Ubuntu this adds what is missing:\n"
            f"    sudo apt install {package}\nThen start this again."
        )
    quietly([sys.executable, "-m", "venv", "--clear", str(venv)], "The folder .venv could not be made.")


def install(python: Path, root: Path, before_writing: Callable[[], None]) -> None:
    """Every package is installed as pinned; Loraloom itself is used from where it lies."""

    def watch(line: str) -> None:
        if line.startswith("Installing collected packages"):
            before_writing()
            progress("putting the packages in place")
        elif line.startswith("Collecting "):
            progress("looking up " + line.split()[1])
        elif line.startswith("Downloading "):
            _, file, *size = line.split()
            progress(" ".join(["fetching", file.rpartition("/")[2].partition("-")[0], *size]))

    pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-c", "constraints.txt"]
    sentence = "The packages could not be installed."
    # Loraloom is built with the pinned setuptools, not with whichever is newest today.
    quietly([*pip, "setuptools"], sentence, watch, root)
    quietly([*pip, "--no-build-isolation", "-e", ".[dev]"], sentence, watch, root)
    progress("")


def quietly(
    command: Sequence[str], sentence: str, watch: Callable[[str], None] = lambda line: None, cwd: Path = ROOT
) -> None:
    """The command has succeeded, its words unseen; when it fails, the last of them are in the error."""
    settings = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "PIP_USER": "0"}
    tail: deque[str] = deque(maxlen=TAIL)
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                tail.append(line.rstrip())
                watch(line.strip())
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        progress("")
        words = "\n".join(tail)
        remedies = [remedy for sign, remedy in REMEDIES if sign in words]
        raise SetUpFailed("\n".join([sentence, *remedies, "", "The last words of the installer:", words]))


def progress(text: str) -> None:
    """One line that is written over, for a person watching; nothing in a log."""
    if sys.stdout.isatty():
        print("\r" + f"  {text}"[:78].ljust(78), end="" if text else "\r", flush=True)


def spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


# -------------------------------------------------------------------------------------------------------- what is run


def call(command: Sequence[str]) -> tuple[int, bool]:
    """The command's exit status, and whether Ctrl-C was pressed. The command gets that too, and ends as it likes."""
    interrupted = False
    with subprocess.Popen(command, cwd=ROOT) as process:
        while True:
            try:
                status = process.wait()
            except KeyboardInterrupt:
                interrupted = True
                continue
            return status if status >= 0 else 128 - status, interrupted


def check(python: Path, arguments: Sequence[str]) -> int:
    """0 when everything passes. All four run whatever the first ones say, so that one run shows all there is to do."""
    chosen = ["-m", "not slow"] if "--fast" in arguments else []
    steps = {
        "ruff check": ["ruff", "check"],
        "ruff format": ["ruff", "format", "--check"],
        "mypy": ["mypy"],
        "pytest": [*PYTEST, *chosen, *(argument for argument in arguments if argument != "--fast")],
    }
    failed: dict[str, int] = {}
    for name, command in steps.items():
        print("\n$ python -m " + " ".join(f'"{word}"' if " " in word else word for word in command), flush=True)
        status, interrupted = call([str(python), "-m", *command])
        if interrupted:
            raise KeyboardInterrupt
        if status:
            failed[name] = status
    print("\nFailed: " + ", ".join(failed) if failed else "\nAll passed: " + ", ".join(steps), flush=True)
    return next(iter(failed.values()), 0)


def run(python: Path, arguments: Sequence[str]) -> int:
    """Loraloom runs in this process's place, or on Windows, which has no such thing, below it."""
    command = [str(python), "-m", "bot", *arguments]
    if not WINDOWS:
        os.chdir(ROOT)
        sys.stdout.flush()
        os.execv(command[0], command)
    status = call(command)[0]
    while status == BEGIN_ANEW:
        time.sleep(5)
        status = call(command)[0]
    return status


def main(arguments: Sequence[str]) -> int:
    try:
        python = set_up(ROOT)
        return check(python, arguments[1:]) if arguments[:1] == ["test"] else run(python, arguments)
    except SetUpFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Start again whenever you like.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
