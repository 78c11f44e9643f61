"""Prompts as AUTOMATIC1111's WebUI reads them: adapter tags, weighting, editing. No torch, linear time.

A prompt goes through five hands, each a module:

    wildcards "a {red|blue} __bird__"                        → the text that one picture's seed makes of it
    tags      "a [cat:dog:5] AND (sky:1.3) <lora:ink:0.5>"   → text without tags, adapters, a sentence for each bad tag
    parsed    text                                           → sub-prompts, split at AND, each with its weight
    editing   "a [cat:dog:5]"                                → the text in force at a step
    emphasis  "(sky:1.3)"                                    → (("sky", 1.3),)

On purpose unlike the WebUI and its extensions: one bad tag does not switch the others off, a name given twice adds up
(where steps, blocks and ranks are the same; else the second tag is a bad one), names are trimmed and told apart without
case, a dynamic rank also cuts the ranks of a Tucker core, random block weights are refused, a number such as `1.2.3` is
text instead of a crash, and `# comments` stay in the prompt.
"""

from .emphasis import BREAK
from .parsed import ParsedPrompt, SubPrompt, Track, parse_negative, parse_prompt
from .requests import identified, left_out, noted, tagged, untagged
from .tags import written
from .wildcards import expand, expanded, left_to_chance

__all__ = [
    "BREAK",
    "ParsedPrompt",
    "SubPrompt",
    "Track",
    "expand",
    "expanded",
    "identified",
    "left_out",
    "left_to_chance",
    "noted",
    "parse_negative",
    "parse_prompt",
    "tagged",
    "untagged",
    "written",
]
