"""What AUTOMATIC1111's WebUI 1.10 makes of prompts, by hand from its documentation, its doctests and its grammar.

Where Loraloom differs on purpose the row stands under a heading that says so.
"""

from __future__ import annotations

from engine.strength import PRESETS
from engine.types import AdapterUse

Segments = tuple[tuple[str, float], ...]
Stages = tuple[tuple[int, str], ...]

LESS = 1 / 1.1
BREAK = ("BREAK", -1.0)

# prompt -> segments, the same at every step
WEIGHTING: dict[str, Segments] = {
    # the WebUI's own doctests
    "normal text": (("normal text", 1.0),),
    "an (important) word": (("an ", 1.0), ("important", 1.1), (" word", 1.0)),
    "(unbalanced": (("unbalanced", 1.1),),
    r"\(literal\]": (("(literal]", 1.0),),
    "(unnecessary)(parens)": (("unnecessaryparens", 1.1),),
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": (
        ("a ", 1.0),
        ("house", 1.5730000000000004),
        (" ", 1.1),
        ("on", 1.0),
        (" a ", 1.1),
        ("hill", 0.55),
        (", sun, ", 1.1),
        ("sky", 1.4641000000000006),
        (".", 1.1),
    ),
    # nothing special
    "": (("", 1.0),),
    "a cat": (("a cat", 1.0),),
    "  a cat": (("  a cat", 1.0),),
    "a cat  ": (("a cat", 1.0),),
    "日本, naïve café": (("日本, naïve café", 1.0),),
    "a, b,\nc": (("a, b,\nc", 1.0),),
    "I <3 cats": (("I <3 cats", 1.0),),
    "a > b < c": (("a > b < c", 1.0),),
    "{a} 'b' \"c\" `d`": (("{a} 'b' \"c\" `d`", 1.0),),
    # round brackets
    "()": (("", 1.0),),
    "(a)": (("a", 1.1),),
    "((a))": (("a", 1.1 * 1.1),),
    "(a (b))": (("a ", 1.1), ("b", 1.1 * 1.1)),
    "(a) b": (("a", 1.1), (" b", 1.0)),
    "((a) b": (("a", 1.1 * 1.1), (" b", 1.1)),
    "a)": (("a)", 1.0),),
    "a) (b)": (("a) ", 1.0), ("b", 1.1)),
    "(a))": (("a", 1.1), (")", 1.0)),
    "a (": (("a ", 1.0),),
    # square brackets
    "[]": (("", 1.0),),
    "[a]": (("a", LESS),),
    "[[a]]": (("a", LESS * LESS),),
    "[a": (("a", LESS),),
    "a]": (("a]", 1.0),),
    "[a [b]]": (("a ", LESS), ("b", LESS * LESS)),
    # both, each kind matched by itself
    "([a])": (("a", 1.0),),
    "[(a)]": (("a", 1.0),),
    "([a)]": (("a", 1.0),),
    "([a)b]": (("a", 1.0), ("b", LESS)),
    # weights
    "(a:1.3)": (("a", 1.3),),
    "(a:0.5)": (("a", 0.5),),
    "(a:.5)": (("a", 0.5),),
    "(a:2)": (("a", 2.0),),
    "(a:1.)": (("a", 1.0),),
    "(a:+1.5)": (("a", 1.5),),
    "(a:-1.5)": (("a", -1.5),),
    "(a:0)": (("a", 0.0),),
    "(a: 1.3 )": (("a", 1.3),),
    "(a :1.3)": (("a ", 1.3),),
    "((a:1.3))": (("a", 1.3 * 1.1),),
    "((a:1.3):1.5)": (("a", 1.3 * 1.5),),
    "(a (b:1.5) c:2)": (("a ", 2.0), ("b", 3.0), (" c", 2.0)),
    "(a:b:1.3)": (("a:b", 1.3),),
    "(a:1.3) and (b:1.3)": (("a", 1.3), (" and ", 1.0), ("b", 1.3)),
    "(a:1.3 b)": (("a:1.3 b", 1.1),),
    "(a:b)": (("a:b", 1.1),),
    "(1.3)": (("1.3", 1.1),),
    "(:1.3)": (("", 1.0),),
    "a:1.3)": (("a:1.3)", 1.0),),
    "[a:1.3)": (("a:1.3)", LESS),),
    "(a:1.3]": (("a:1.3]", 1.1),),
    "time 12:30, then": (("time 12:30, then", 1.0),),
    # escapes
    r"\(a\)": (("(a)", 1.0),),
    r"\[a\]": (("[a]", 1.0),),
    r"(a \(b\):1.2)": (("a (b)", 1.2),),
    r"hatsune miku \(vocaloid\), (smile)": (("hatsune miku (vocaloid), ", 1.0), ("smile", 1.1)),
    r"\\(a)": (("\\", 1.0), ("a", 1.1)),
    r"a\b": (("ab", 1.0),),
    "a\\": (("a", 1.0),),
    r"(a\)": (("a)", 1.1),),
    # BREAK
    "a BREAK b": (("a", 1.0), BREAK, ("b", 1.0)),
    "a, BREAK\nb": (("a,", 1.0), BREAK, ("b", 1.0)),
    "BREAK b": (("", 1.0), BREAK, ("b", 1.0)),
    "a BREAK": (("a", 1.0), BREAK, ("", 1.0)),
    "a BREAK BREAK b": (("a", 1.0), BREAK, ("", 1.0), BREAK, ("b", 1.0)),
    "a BREAK (b) BREAK c": (("a", 1.0), BREAK, ("", 1.0), ("b", 1.1), ("", 1.0), BREAK, ("c", 1.0)),
    "a BREAKFAST": (("a BREAKFAST", 1.0),),
    "a break b": (("a break b", 1.0),),
    "a,BREAK,b": (("a,", 1.0), BREAK, (",b", 1.0)),
    # inside brackets BREAK is weighed like a word, and then breaks nothing
    "(a BREAK b)": (("a", 1.1), ("BREAK", -1.1), ("b", 1.1)),
    # on purpose unlike the WebUI, which stops with a ValueError
    "(a:1.2.3)": (("a:1.2.3", 1.1),),
    "(a:.)": (("a:.", 1.1),),
}

# prompt -> (last step, text) for 10 steps; the weights of these are all 1
EDITING: dict[str, Stages] = {
    # the WebUI's own doctests
    "test": ((10, "test"),),
    "a [b:3]": ((3, "a "), (10, "a b")),
    "a [b: 3]": ((3, "a "), (10, "a b")),
    "a [b : c : 1] d": ((1, "a b  d"), (10, "a  c  d")),
    "a[b:[c:d:2]:1]e": ((1, "abe"), (2, "ace"), (10, "ade")),
    "a [b:.5] c": ((5, "a  c"), (10, "a b c")),
    "[fe|]male": tuple((step, "female" if step % 2 else "male") for step in range(1, 11)),
    "[fe|||]male": ((1, "female"), (4, "male"), (5, "female"), (8, "male"), (9, "female"), (10, "male")),
    # the example at the head of its parser, with 10 steps instead of 100
    "a [mountain:lake:0.25] and [an oak:a fir:0.75][ in front::0.6][ behind:0.25] [shoddy:masterful:0.5]": (
        (2, "a mountain and an oak in front shoddy"),
        (5, "a lake and an oak in front behind shoddy"),
        (6, "a lake and an oak in front behind masterful"),
        (7, "a lake and an oak behind masterful"),
        (10, "a lake and a fir behind masterful"),
    ),
    # edits
    "[a:b:5]": ((5, "a"), (10, "b")),
    "[a:b:0.5]": ((5, "a"), (10, "b")),
    "[a:b: 5 ]": ((5, "a"), (10, "b")),
    "[a::3]": ((3, "a"), (10, "")),
    "[:b:3]": ((3, ""), (10, "b")),
    "[a:b:0]": ((10, "b"),),
    "[a:b:0.0]": ((10, "b"),),
    "[a:b:10]": ((10, "a"),),
    "[a:b:99]": ((10, "a"),),
    "[a:b:1.0]": ((10, "a"),),
    "[a:b:1]": ((1, "a"), (10, "b")),
    "[a:b:-2]": ((10, "b"),),
    "[a:b:0.29]": ((2, "a"), (10, "b")),
    "[a:b:0.05]": ((10, "b"),),
    "[a:b:3e0]": ((3, "a"), (10, "b")),
    "[a:a:5]": ((10, "a"),),
    "[1:2:3]": ((3, "1"), (10, "2")),
    "[a:b:3][c:d:3]": ((3, "ac"), (10, "bd")),
    "[a:b:3][c:d:6]": ((3, "ac"), (6, "bc"), (10, "bd")),
    "[[a:b:2]:c:5]": ((2, "a"), (5, "b"), (10, "c")),
    "[a:[b:c:8]:5]": ((5, "a"), (8, "b"), (10, "c")),
    "[a:b:3 c": ((10, "a:b:3 c"),),
    # turns
    "[a|b]": tuple((step, "a" if step % 2 else "b") for step in range(1, 11)),
    "[a|b|c] x": tuple((step, f"{'cab'[step % 3]} x") for step in range(1, 11)),
    "[|a]": tuple((step, "" if step % 2 else "a") for step in range(1, 11)),
    "[a|a]": ((10, "a"),),
    "[[a:b:4]|c]": tuple((step, "c" if step % 2 == 0 else "a" if step <= 4 else "b") for step in range(1, 11)),
    "[[a|b]:c:2]": ((1, "a"), (2, "b"), (10, "c")),
}

# prompt -> (last step, text) for the 8 steps of hires fix's second pass, after 10 of the first
HIRES: dict[str, Stages] = {
    # fractions, minus 1, of the second pass; the first two are the WebUI's own doctests, which have 10 steps there
    "a [b:.5] c": ((8, "a b c"),),
    "a [b:1.5] c": ((4, "a  c"), (8, "a b c")),
    "[a:b:1.0]": ((8, "b"),),
    "[a:b:1.29]": ((2, "a"), (8, "b")),
    "[a:b:1.05]": ((8, "b"),),
    "[a:b:2.0]": ((8, "a"),),
    "[a:b:7.5]": ((8, "a"),),
    "[a::1.25]": ((2, "a"), (8, "")),
    # whole numbers count on from the first pass
    "[a:b:5]": ((8, "b"),),
    "[a:b:10]": ((8, "b"),),
    "[a:b:13]": ((3, "a"), (8, "b")),
    "[a:b:18]": ((8, "a"),),
    "[a:b:99]": ((8, "a"),),
    "[a:b:-2]": ((8, "b"),),
    "[a:b:13e0]": ((3, "a"), (8, "b")),
    "[[a:b:12]:c:1.5]": ((2, "a"), (4, "b"), (8, "c")),
    # turns begin anew
    "[a|b]": tuple((step, "a" if step % 2 else "b") for step in range(1, 9)),
    "[[a:b:12]|c]": tuple((step, "c" if step % 2 == 0 else "a" if step <= 2 else "b") for step in range(1, 9)),
    # without brackets nothing changes
    "a cat": ((8, "a cat"),),
}

# prompt -> (last step, segments) for 10 steps, where editing and weighting meet
EDITED_SEGMENTS: dict[str, tuple[tuple[int, Segments], ...]] = {
    # the WebUI's own doctests
    "a [[[b]]:2]": ((2, (("a ", 1.0),)), (10, (("a ", 1.0), ("b", LESS * LESS)))),
    "[(a:2):3]": ((3, (("", 1.0),)), (10, (("a", 2.0),))),
    "a [unbalanced": ((10, (("a ", 1.0), ("unbalanced", LESS))),),
    "((a][:b:c [d:3]": (
        (3, (("a]", 1.1 * 1.1), (":b:c ", 1.1 * 1.1 * LESS))),
        (10, (("a]", 1.1 * 1.1), (":b:c d", 1.1 * 1.1 * LESS))),
    ),
    "[a|(b:1.1)]": tuple((step, (("a", 1.0),) if step % 2 else (("b", 1.1),)) for step in range(1, 11)),
    # an edit inside a weight, and a weight inside an edit
    "([a:b:5]:1.3)": ((5, (("a", 1.3),)), (10, (("b", 1.3),))),
    "[(a:1.2):(b:0.8):5]": ((5, (("a", 1.2),)), (10, (("b", 0.8),))),
    "([a:b:5]": ((5, (("a", 1.1),)), (10, (("b", 1.1),))),
    "[a BREAK b:c:5]": ((5, (("a", 1.0), BREAK, ("b", 1.0))), (10, (("c", 1.0),))),
    r"[\[a\]:b:5]": ((5, (("[a]", 1.0),)), (10, (("b", 1.0),))),
    r"[a\:b:c:5]": ((5, (("a:b", 1.0),)), (10, (("c", 1.0),))),
    # what the grammar cannot read is left to the weighting
    "[a:b:c]": ((10, (("a:b:c", LESS),)),),
    "[a:b]": ((10, (("a:b", LESS),)),),
    "[a:b:c:5]": ((10, (("a:b:c:5", LESS),)),),
    "[a:b:5%]": ((10, (("a:b:5%", LESS),)),),
    "[a|b:5]": ((10, (("a|b:5", LESS),)),),
    "[(a|b)]": ((10, (("a|b", 1.0),)),),
    # a bar outside of square brackets makes the whole prompt literal
    "x | [a:b:5]": ((10, (("x | ", 1.0), ("a:b:5", LESS))),),
    "[a:b:5] [c|": ((10, (("a:b:5", LESS), (" ", 1.0), ("c|", LESS))),),
    # and so does a backslash at the end
    "[a:b:5] \\": ((10, (("a:b:5", LESS), (" ", 1.0))),),
}

# prompt -> (weight, text) of its sub-prompts
CONJUNCTION: dict[str, tuple[tuple[float, str], ...]] = {
    "a cat AND a dog": ((1.0, "a cat"), (1.0, " a dog")),
    "a cat :1.2 AND a dog :0.8": ((1.2, "a cat"), (0.8, " a dog")),
    "a cat:1.2 AND a dog": ((1.2, "a cat"), (1.0, " a dog")),
    "a AND b AND c:2": ((1.0, "a"), (1.0, " b"), (2.0, " c")),
    "a:-0.5 AND b": ((-0.5, "a"), (1.0, " b")),
    "a: +.5 AND b:3.": ((0.5, "a"), (3.0, " b")),
    "a cat:2": ((2.0, "a cat"),),
    "a ratio of 16:9": ((9.0, "a ratio of 16"),),
    "a:b AND c": ((1.0, "a:b"), (1.0, " c")),
    "a:1:2 AND c": ((2.0, "a:1"), (1.0, " c")),
    "ANDROID AND BAND": ((1.0, "ANDROID"), (1.0, " BAND")),
    "salt and pepper": ((1.0, "salt and pepper"),),
    "a AND": ((1.0, "a"), (1.0, "")),
    "a\nAND\nb": ((1.0, "a"), (1.0, "\nb")),
    "a AND a": ((1.0, "a"), (1.0, " a")),
    "a:1.2.3 AND b": ((1.0, "a:1.2.3"), (1.0, " b")),
}

# prompt -> text, adapters
TAGS: dict[str, tuple[str, tuple[AdapterUse, ...]]] = {
    "a cat <lora:ink>": ("a cat", (AdapterUse("ink"),)),
    "a cat <lora:ink:0.5>": ("a cat", (AdapterUse("ink", 0.5),)),
    "<lora:ink:0.5> a cat": ("a cat", (AdapterUse("ink", 0.5),)),
    "a <lora:ink:0.5> cat": ("a cat", (AdapterUse("ink", 0.5),)),
    "a<lora:ink:0.5>cat": ("acat", (AdapterUse("ink", 0.5),)),
    "a cat<lora:ink:0.5>, sun": ("a cat, sun", (AdapterUse("ink", 0.5),)),
    "a, <lora:ink:0.5>, b": ("a, , b", (AdapterUse("ink", 0.5),)),
    "a  cat <lora:ink>": ("a  cat", (AdapterUse("ink"),)),
    "<lora:ink:0.4:0.8>": ("", (AdapterUse("ink", 0.8, 0.4),)),
    "<lora:ink:0.5:0.5>": ("", (AdapterUse("ink", 0.5),)),
    "<lora:ink:0:1>": ("", (AdapterUse("ink", 1.0, 0.0),)),
    "<lora:ink:te=0.4:unet=0.8>": ("", (AdapterUse("ink", 0.8, 0.4),)),
    "<lora:ink:unet=0.8:te=0.4>": ("", (AdapterUse("ink", 0.8, 0.4),)),
    "<lora:ink:te=0.4>": ("", (AdapterUse("ink", 0.4),)),
    "<lora:ink:unet=0.4>": ("", (AdapterUse("ink", 0.4, 1.0),)),
    "<lora:ink:0.5:unet=0.8>": ("", (AdapterUse("ink", 0.8, 0.5),)),
    "<lora:ink:0.5:0.6:te=0.1>": ("", (AdapterUse("ink", 0.6, 0.1),)),
    "<lora:ink:-0.5>": ("", (AdapterUse("ink", -0.5),)),
    "<lora:ink:+1.5>": ("", (AdapterUse("ink", 1.5),)),
    "<lora:ink:.5>": ("", (AdapterUse("ink", 0.5),)),
    "<lora:ink:2>": ("", (AdapterUse("ink", 2.0),)),
    "<lora:ink: 0.5 >": ("", (AdapterUse("ink", 0.5),)),
    "<lora:ink:1e-1>": ("", (AdapterUse("ink", 0.1),)),
    "<lora:ink:0>": ("", (AdapterUse("ink", 0.0),)),
    "<lyco:ink:0.5>": ("", (AdapterUse("ink", 0.5),)),
    "<lora:add detail v1.5 (final):0.5>": ("", (AdapterUse("add detail v1.5 (final)", 0.5),)),
    "<lora:styles/ink_v2:0.5>": ("", (AdapterUse("styles/ink_v2", 0.5),)),
    "<lora:墨:0.5>": ("", (AdapterUse("墨", 0.5),)),
    "a <lora:ink:0.5><lora:neon:1> cat": ("a cat", (AdapterUse("ink", 0.5), AdapterUse("neon", 1.0))),
    "a <lora:ink:0.5> <lora:neon:1> cat": ("a cat", (AdapterUse("ink", 0.5), AdapterUse("neon", 1.0))),
    "<lora:MoXinV1:0.5> <lora:light_and_shadow:1.0>": (
        "",
        (AdapterUse("MoXinV1", 0.5), AdapterUse("light_and_shadow", 1.0)),
    ),
    "(a <lora:ink:0.5>:1.2)": ("(a :1.2)", (AdapterUse("ink", 0.5),)),
    "[a:<lora:ink:0.5>b:5]": ("[a:b:5]", (AdapterUse("ink", 0.5),)),
    "a\n<lora:ink:0.5>\nb": ("a\n\nb", (AdapterUse("ink", 0.5),)),
    # a dynamic rank, by place and by name
    "<lora:ink:1:1:4>": ("", (AdapterUse("ink", rank=4),)),
    "<lora:ink:0.5:0.8:4>": ("", (AdapterUse("ink", 0.8, 0.5, rank=4),)),
    "<lora:ink:dyn=4>": ("", (AdapterUse("ink", rank=4),)),
    "<lora:ink:1:1:4:dyn=8>": ("", (AdapterUse("ink", rank=8),)),
    # sd-webui-lora-block-weight: blocks
    "<lora:ink:1:lbw=MIDD>": ("", (AdapterUse("ink", blocks=PRESETS["MIDD"]),)),
    "<lora:ink:0.5:0.8:lbw=OUTALL>": ("", (AdapterUse("ink", 0.8, 0.5, blocks=PRESETS["OUTALL"]),)),
    "<lora:ink:lbw=all0.5>": ("", (AdapterUse("ink", blocks=[0.5] * 17),)),
    "<lora:ink:lbw=1,0,0,0,0,0,0,0,0,0,0,0>": ("", (AdapterUse("ink", blocks=[1, *[0] * 25]),)),
    "<lora:ink:lbw=1,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0.5>": (
        "",
        (AdapterUse("ink", blocks=[1, *[0] * 12, 1, *[0] * 11, 0.5]),),
    ),
    "<lora:ink:lbw=1,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0>": ("", (AdapterUse("ink", blocks=[1, 1, *[0] * 24]),)),
    "<lora:ink:lbw=1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1>": ("", (AdapterUse("ink"),)),
    # and steps
    "<lora:ink:0.5:start=5>": ("", (AdapterUse("ink", 0.5, start=5),)),
    "<lora:ink:0.5:stop=10>": ("", (AdapterUse("ink", 0.5, stop=10),)),
    "<lora:ink:0.5:step=5-10>": ("", (AdapterUse("ink", 0.5, start=5, stop=10),)),
    "<lora:ink:start=0.25:stop=0.75>": ("", (AdapterUse("ink", start=0.25, stop=0.75),)),
    "<lora:ink:start=0>": ("", (AdapterUse("ink"),)),
    "<lora:ink:0.5:lbw=INS:stop=8>": ("", (AdapterUse("ink", 0.5, blocks=PRESETS["INS"], stop=8),)),
    # sd-webui-loractl: weights over the steps, and those of a second pass
    "<lora:ink:0@0,1@0.5>": ("", (AdapterUse("ink", curve=((0, 0), (1, 0.5))),)),
    "<lora:ink:0@0,1@0.4,0@1>": ("", (AdapterUse("ink", curve=((0, 0), (1, 0.4), (0, 1))),)),
    "<lora:ink:1@0.5;0.25@0>": ("", (AdapterUse("ink", curve=((0.25, 0), (1, 0.5))),)),
    "<lora:ink:0@0,1>": ("", (AdapterUse("ink", curve=((0, 0), (1, 1))),)),
    "<lora:ink:0.7@0.5>": ("", (AdapterUse("ink", 0.7),)),
    "<lora:ink:1:0@5,1@6>": ("", (AdapterUse("ink", te_weight=1.0, curve=((0, 5), (1, 6))),)),
    "<lora:ink:te=0@0,1@1:unet=1>": ("", (AdapterUse("ink", 1.0, te_curve=((0, 0), (1, 1))),)),
    "<lora:ink:te=1:unet=0@0,1@1>": ("", (AdapterUse("ink", te_weight=1.0, curve=((0, 0), (1, 1))),)),
    "<lora:ink:0.5:hr=1.0>": ("", (AdapterUse("ink", 0.5, hires=((1, 0),), hires_te=((1, 0),)),)),
    "<lora:ink:0@0,1@1:hr=1@0,0@1>": (
        "",
        (AdapterUse("ink", curve=((0, 0), (1, 1)), hires=((1, 0), (0, 1)), hires_te=((1, 0), (0, 1))),),
    ),
    "<lora:ink:0.5:hrunet=0.8>": ("", (AdapterUse("ink", 0.5, hires=((0.8, 0),)),)),
    "<lora:ink:0.5:hr=0.8:hrte=0.1>": ("", (AdapterUse("ink", 0.5, hires=((0.8, 0),), hires_te=((0.1, 0),)),)),
    "<lora:ink:0.5:hr=0.5>": ("", (AdapterUse("ink", 0.5),)),
    # no tags
    "<lora:ink": ("<lora:ink", ()),
    "<lora>": ("<lora>", ()),
    "<:ink:0.5>": ("<:ink:0.5>", ()),
    "< lora:ink>": ("< lora:ink>", ()),
    "lora:ink:0.5": ("lora:ink:0.5", ()),
    # on purpose unlike the WebUI: weights of one name add up, names are trimmed, case does not tell them apart
    "<lora:ink:0.5> a <lora:ink:0.2>": ("a", (AdapterUse("ink", 0.7),)),
    "<lora:ink:0.5> a <lora:INK:0.2>": ("a", (AdapterUse("ink", 0.7),)),
    "<lora:ink:0.5><lyco:ink:0.2:0.1>": ("", (AdapterUse("ink", 0.6, 0.7),)),
    "<lora:ink:0.5:start=5> <lora:ink:0.25:start=5>": ("", (AdapterUse("ink", 0.75, start=5),)),
    "<lora:ink:0@0,1@1> <lora:ink:0.5@0,0@1>": ("", (AdapterUse("ink", curve=((0.5, 0), (1, 1))),)),
    "<lora:ink:1:0@0,1@1> <lora:ink:1:0@0,1@1>": ("", (AdapterUse("ink", te_weight=2.0, curve=((0, 0), (2, 1))),)),
    "<lora:ink:0.1><lora:ink:0.2>": ("", (AdapterUse("ink", 0.3),)),
    "<lora:ink:1><lora:neon:1><lora:ink:-1>": ("", (AdapterUse("ink", 0.0), AdapterUse("neon", 1.0))),
    "<lora: ink :0.5>": ("", (AdapterUse("ink", 0.5),)),
    "<LoRA:ink:0.5>": ("", (AdapterUse("ink", 0.5),)),
    "<lora:a=b:0.5>": ("", (AdapterUse("a=b", 0.5),)),
}

# prompt -> text, adapters that stay on, what the one error says
BAD_TAGS: dict[str, tuple[str, tuple[AdapterUse, ...], str]] = {
    "a <lora:ink:abc>": ("a", (), "'abc' is not a number"),
    "a <lora:ink:abc> b <lora:neon:1>": ("a b", (AdapterUse("neon"),), "<lora:ink:abc> at character 3"),
    "a <lora:neon:1> b <lora:ink:x>": ("a b", (AdapterUse("neon"),), "<lora:ink:x> at character 19"),
    "<lora:ink:>": ("", (), "'' is not a number"),
    "<lora:ink:nan>": ("", (), "'nan' is not a number"),
    "<lora:ink:inf>": ("", (), "'inf' is not a number"),
    "<lora:ink:1_0>": ("", (), "'1_0' is not a number"),
    "<lora:ink:1,5>": ("", (), "'1,5' is not a number"),
    "<lora:ink:te=x>": ("", (), "'x' is not a number"),
    "<lora:ink:1e999>": ("", (), "is not a number"),
    "<lora:>": ("", (), "names no adapter"),
    "<lora::0.5>": ("", (), "names no adapter"),
    "<lora: :0.5>": ("", (), "names no adapter"),
    "<lora:ink:50>": ("", (), "between -10 and 10"),
    "<lora:ink:8> <lora:ink:7>": ("", (AdapterUse("ink", 8.0),), "between -10 and 10"),
    "<lora:ink:1:1:x>": ("", (), "'x' is not a number"),
    "<lora:ink:1:1:4:1>": ("", (), "a fourth number (1) means nothing"),
    "<lora:ink:1:dyn=0>": ("", (), "whole number from 1 on"),
    "<lora:ink:1:dyn=4.5>": ("", (), "whole number from 1 on"),
    "<lora:ink:1:lbw=MID>": ("", (), "lbw=MID is neither one of NONE, ALL, INS"),
    "<lora:ink:1:lbw=1,0>": ("", (), "nor a list of 12, 17, 20, 26 numbers"),
    "<lora:ink:1:lbw=1,R,0,0,0,0,0,0,0,0,0,0>": ("", (), "random block weights"),
    "<lora:ink:1:lbw=1,a,0,0,0,0,0,0,0,0,0,0>": ("", (), "'a' is not a number"),
    "<lora:ink:1:lbw=50,0,0,0,0,0,0,0,0,0,0,0>": ("", (), "A block weight is 50"),
    "<lora:ink:1:lbw=MIDD:lbwe=ATTNDEEPON>": ("", (), "(lbwe) are not supported"),
    "<lora:ink:1:lbw=MIDD:x=0.5>": ("", (), "random block weights"),
    "<lora:ink:1:start=2.5>": ("", (), "steps are whole numbers, or fractions"),
    "<lora:ink:1:start=-1>": ("", (), "steps are whole numbers, or fractions"),
    "<lora:ink:1:start=10:stop=5>": ("", (), "the start must come first"),
    "<lora:ink:1:step=5>": ("", (), "write step=5-10"),
    "<lora:ink:1:step=5-10:stop=8>": ("", (), "step already says"),
    "<lora:ink:0.5,1@1>": ("", (), "such as 0.5@0"),
    "<lora:ink:0@0,1@0>": ("", (), "two weights at 0"),
    "<lora:ink:0@0,x@1>": ("", (), "'x' is not a number"),
    "<lora:ink:0@0,1@-1>": ("", (), "A weight at -1"),
    "<lora:ink:0@0,50@1>": ("", (), "A weight is 50"),
    "<lora:ink:0.5> <lora:ink:0.5:start=5>": ("", (AdapterUse("ink", 0.5),), "ink is asked for twice"),
    "<lora:ink:lbw=INS> <lora:ink:lbw=OUTS>": (
        "",
        (AdapterUse("ink", blocks=PRESETS["INS"]),),
        "different steps, blocks",
    ),
    "<lora:ink:strength=1>": ("", (), "'strength' is no argument"),
    "<lora:ink:te=1:te=2>": ("", (), "te is given twice"),
    "a <hypernet:ink:1> b": ("a b", (), "'hypernet' is no kind of adapter"),
    "<a:dance:123>": ("", (), "'a' is no kind of adapter"),
    "<lora:ink <lora:neon:1>": ("", (), "<lora:ink <lora:neon:1>"),
}
