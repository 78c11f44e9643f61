"""The page that a drop link shows: one file field, one bar, no part of it from elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from html import escape

from ..language import answering, say, unsaid
from .arrival import megabytes


@dataclass(frozen=True, slots=True)
class PageWords:
    """Everything the page says, in English; `{cap}` is the largest file."""

    language: str = "en"
    title: str = unsaid("Send an adapter")
    lead: str = unsaid(
        "Choose a .safetensors file of up to {cap}. This link takes one file, from you, for a short while."
    )
    choose: str = unsaid("Choose a file")
    send: str = unsaid("Send")
    sending: str = unsaid("Sending…")
    checking: str = unsaid("Sent. It is being checked…")
    too_large: str = unsaid("This file is larger than {cap}.")
    broken: str = unsaid("The connection broke. Try again.")
    busy: str = unsaid("A file is being taken just now; try again in a minute.")
    unknown: str = unsaid("This link is not complete, or the bot was restarted since. Ask the bot for a new one.")
    expired: str = unsaid("This link has ended. Ask the bot for a new one.")
    used: str = unsaid("This link was used. Ask the bot for a new one.")

    def spoken(self) -> PageWords:
        """The same in the language that is being answered in."""
        words = {field.name: say(getattr(self, field.name)) for field in fields(self) if field.name != "language"}
        return PageWords(language=answering(), **words)


ENGLISH = PageWords()

_STYLE = """
:root { color-scheme: light dark; font: 17px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 32rem; padding: 2rem 1.2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
input[type=file], button { font: inherit; width: 100%; box-sizing: border-box; }
button { margin-top: 1rem; padding: .8rem; border: 0; border-radius: .6rem; background: #5865f2; color: #fff; }
button:disabled { opacity: .5; }
progress { width: 100%; height: .8rem; margin-top: 1rem; }
[hidden] { display: none; }
"""

_SCRIPT = """
const words = JSON.parse(document.getElementById("words").textContent);
const file = document.getElementById("file"), send = document.getElementById("send");
const bar = document.getElementById("bar"), said = document.getElementById("said");
file.addEventListener("change", () => { send.disabled = !file.files.length; said.textContent = ""; });
send.addEventListener("click", () => {
  const chosen = file.files[0];
  if (chosen.size > words.cap) { said.textContent = words.too_large; return; }
  const request = new XMLHttpRequest();
  request.open("PUT", location.pathname + "?name=" + encodeURIComponent(chosen.name));
  request.upload.onprogress = event => { bar.value = event.loaded / event.total; };
  request.upload.onload = () => { said.textContent = words.checking; };
  request.onerror = () => { said.textContent = words.broken; send.disabled = file.disabled = false; };
  request.onload = () => {
    let answer = { ok: false, sentence: words.broken };
    try { answer = JSON.parse(request.responseText); } catch (_) {}
    said.textContent = answer.sentence;
    bar.hidden = true;
    send.hidden = answer.ok;
    send.disabled = file.disabled = answer.ok;
  };
  send.disabled = file.disabled = true;
  bar.hidden = false;
  said.textContent = words.sending;
  request.send(chosen);
});
"""


def page(words: PageWords, nonce: str, *, cap: int = 0, refused: str = "") -> str:
    """The page as HTML; with `refused` it says only that. `nonce` is what its security policy allows to run."""
    body = f"<p>{escape(refused)}</p>" if refused else _form(words, nonce, cap)
    return (
        f'<!doctype html><html lang="{escape(words.language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(words.title)}</title><style nonce="{nonce}">{_STYLE}</style></head>'
        f"<body><main><h1>{escape(words.title)}</h1>{body}</main></body></html>"
    )


def _form(words: PageWords, nonce: str, cap: int) -> str:
    size = megabytes(cap)
    said = {
        "cap": cap,
        "too_large": words.too_large.format(cap=size),
        "broken": words.broken,
        "sending": words.sending,
        "checking": words.checking,
    }
    data = json.dumps(said).replace("<", "\\u003c")
    return (
        f"<p>{escape(words.lead.format(cap=size))}</p>"
        f'<label for="file">{escape(words.choose)}</label>'
        '<input id="file" type="file" accept=".safetensors">'
        f'<button id="send" disabled>{escape(words.send)}</button>'
        '<progress id="bar" max="1" value="0" hidden></progress><p id="said" role="status"></p>'
        f'<script id="words" type="application/json" nonce="{nonce}">{data}</script>'
        f'<script nonce="{nonce}">{_SCRIPT}</script>'
    )
