"""File names from outside, made into something that can be shown and stored. On our disk files are called by hash."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

MAX_NAME = 100
ENDING = ".safetensors"
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


def file_name(text: str) -> str:
    """One safe path component that ends in .safetensors, in NFC; "adapter.safetensors" when nothing is left of it."""
    text = unicodedata.normalize("NFC", unquote(text)).replace("\\", "/").rpartition("/")[2]
    text = "".join(sign for sign in text if unicodedata.category(sign)[0] not in "CZ" or sign == " ")
    text = re.sub(r'[<>:"|?*%]', "_", text)
    stem = re.sub(r"\.safetensors?$", "", text, flags=re.IGNORECASE).strip(" .")[:MAX_NAME].rstrip(" .")
    if not stem or _RESERVED.fullmatch(stem):
        stem = f"adapter-{stem}".rstrip("-")
    return stem + ENDING
