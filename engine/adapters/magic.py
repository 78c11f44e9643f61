"""What a file is that is no safetensors file, by its first bytes: only to say so, nothing of it is ever opened."""

from __future__ import annotations

import re

LOOKED_AT = 512  # bytes; tar has its mark at 257

_MARKS: tuple[tuple[bytes, str], ...] = (
    (rb"PK\x03\x04|PK\x05\x06|PK\x07\x08", "a zip archive or a PyTorch checkpoint"),
    (rb"\x80[\x01-\x05]", "a Python pickle or an old PyTorch checkpoint"),
    (rb"\x1f\x8b", "a gzip archive"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (rb"Rar!\x1a\x07", "a RAR archive"),
    (rb"BZh[1-9]", "a bzip2 archive"),
    (rb"\xfd7zXZ", "an xz archive"),
    (rb"\x28\xb5\x2f\xfd", "a zstd archive"),
    (rb".{257}ustar", "a tar archive"),
    (rb"GGUF|lmgg|tjgg|ggjt", "a GGUF or GGML model"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"\x89HDF", "an HDF5 model"),
    (rb"MZ", "a Windows program"),
    (rb"\x7fELF", "a Linux program"),
    (rb"\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe", "a macOS program"),
    (rb"#!", "a script"),
    (rb"%PDF", "a PDF"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP", "a picture"),
    (rb"\s*<", "a web page"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (rb"\s*[{\[]\s*[\"{\[]", "a JSON text"),
    # a pickle of protocol 0 has no mark; these are the ways in which one begins that does anything
    (rb"c[A-Za-z_][\w.]*\n\w|\(?[cidlp][\w.]*\n|[(}\]][(}\])dlt]?[pq\x94]|\(S'", "a Python pickle"),
)
_COMPILED = tuple((re.compile(mark, re.DOTALL), what) for mark, what in _MARKS)


def other_kind(start: bytes) -> str:
    """The kind of file that begins so, with its article; "" for one that is not known here."""
    return next((what for mark, what in _COMPILED if mark.match(start)), "")
