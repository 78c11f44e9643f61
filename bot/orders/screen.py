"""Words in a prompt that are not drawn, found as whole words however they are dressed up. Pure, linear in the text.

A word is found by its letters, not by the string it stands in: "pegboard" holds no word of these lists. What hides a
word is undone first, in a few readings of the same text: compatibility forms and accents, letters of other alphabets
that look alike, digits for letters, letters spaced out or repeated, invisible characters, and the brackets and weights
of prompts, which would cut a word in two.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

_ALIKE = str.maketrans("абвгеёикмнопрстухѕіјԁɡցοαερτυνκικχʏ", "abbreeukmhonpctyxsijdgqoaeptuvkikxy")
_LEET = str.maketrans("0134578@$!|", "oieastbasil")
_RUN = re.compile(r"\w+")
_SIGN_IN_WORD = re.compile(r"(?<=\w)[@$!|](?=\w)|(?<!\w)[@$](?=\w)")
_SYNTAX = re.compile(r":\s*-?[\d.]+(?=\s*[)\]>])|[()\[\]{}\\]")
_SPACED = re.compile(r"(?<!\w)(?:[^\W_][\s._*·-]){2,}[^\W_](?!\w)")
_GAPS = re.compile(r"[\s._*·-]+")
_REPEATED = re.compile(r"([^\W\d_])\1{2,}")
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile("[぀-ヿ㐀-鿿가-힯]")  # scripts that are written without spaces, or glue endings on
_AGE = re.compile(
    r"\b(?:(?P<a>\d{1,2})[\s-]*(?:years?|yrs?)?[\s-]*(?:old|yo|y\.?\s?o)|age[ds]?[\s:]*(?P<b>\d{1,2})"
    r"|(?P<c>\d{1,2})[\s-]*(?:jahre?|jährige?[rs]?|años|anos|ans)\b|(?P<d>\d{1,2})\s*[歳岁歲세])"
)
_UNSEEN = ("Mn", "Cf", "Cc")  # accents, invisible characters, controls
_KEPT = "\n\t\u3099\u309a"  # white space; the marks that make another kana of one
ADULT = 18

# What is refused whatever else stands there: words that mean sexualised minors and nothing else.
_NEVER = """
    loli lolis lolicon lolicons shota shotas shotacon toddlercon jailbait csam pedo paedo pedophile paedophile
    pedophilia paedophilia pedofilia pädophil pädophilie pédophile pédophilie pederasty
    ロリ ロリコン ショタ ショタコン 萝莉控 正太控 幼女 炼铜 恋童
    child+porn child+pornography kiddie+porn kinderporno kinderpornografie
"""
# Minors, and words that say how young somebody is. No word of grown-ups that is also used of the young: "1girl" is the
# commonest tag there is.
_MINORS = """
    child children childlike kid kids kiddo toddler toddlers infant infants baby babies newborn minor minors underage
    underaged preteen preteens tween tweens teen teens teenager teenagers teenage adolescent adolescents juvenile
    prepubescent pubescent schoolgirl schoolgirls schoolboy schoolboys school+girl school+boy schoolchild
    schoolchildren little+girl little+girls little+boy little+boys young+girl young+girls young+boy young+boys
    elementary+schooler middle+schooler kindergartener grade+schooler
    kinder kleinkind minderjährig minderjährige minderjähriger schulmädchen teenie kleines+mädchen
    niño niña niños niñas menor+de+edad colegiala adolescente enfant enfants mineur mineure fillette gamin gamine
    écolière écolier petite+fille petit+garçon
    萝莉 正太 小学生 初中生 儿童 兒童 小孩 未成年 小女孩 小男孩 幼童 子供 こども 小学女児 女児 男児 中学生 園児
    아이 어린이 미성년자
"""
# Sexual content. The same words are mature by themselves.
_SEXUAL = """
    nsfw nude nudes nudity naked topless bottomless undressed porn porno pornographic pornography hentai ecchi erotic
    erotica erotically sex sexual sexually sexy explicit r18 r+18 xxx lewd lewds orgasm masturbation masturbating
    genitals genitalia penis vagina vulva nipple nipples areola areolae bdsm blowjob fellatio cumshot creampie
    intercourse gangbang upskirt seductive fetish
    nackt nackte nackter sexuell erotisch pornografie desnudo desnuda desnudos desnudas sexo erótico erótica
    pornografía nu+intégral nue seins+nus sexe sexuel sexuelle érotique
    裸体 裸體 裸露 全裸 色情 性爱 性交 情色 ヌード エロ セックス 変態 裸 누드 섹스
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: "never", "minors", "blocked" or "mature", and by which word ("" where it is better not said)."""

    rule: str
    word: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """The lists of whoever runs the bot, beside those that are always there."""

    blocked: tuple[str, ...] = ()
    mature: tuple[str, ...] = ()

    def screened(self, prompt: str, *, mature: bool = False) -> Finding | None:
        """The gravest thing in the prompt, or None. `mature`: what it is drawn with makes mature pictures anyway.

        Minors with anything sexual are refused everywhere and to everybody, which no list and no setting changes.
        """
        readings = tuple(_readings(prompt))
        if _LISTS["never"].first(readings):
            return Finding("never")
        word = _own(self.blocked).first(readings)
        if word:
            return Finding("blocked", word)
        word = _LISTS["sexual"].first(readings) or _own(self.mature).first(readings)
        if (word or mature) and (_LISTS["minors"].first(readings) or _young(readings)):
            return Finding("minors")
        return Finding("mature", word) if word else None


@dataclass(frozen=True, slots=True)
class _Text:
    """One reading of a prompt."""

    words: frozenset[str]
    line: str  # the words between single spaces, one at both ends
    unspaced: str  # those of scripts without spaces, as they stand and put together


@dataclass(frozen=True, slots=True)
class _List:
    """Terms of one word, of several, and of scripts without spaces."""

    words: frozenset[str]
    phrases: tuple[str, ...]
    glued: re.Pattern[str] | None

    def first(self, readings: Iterable[_Text]) -> str:
        """A term that one of the readings holds, "" for none."""
        for text in readings:
            found = self.words & text.words
            if found:
                return min(found)
            for phrase in self.phrases:
                if f" {phrase} " in text.line:
                    return phrase
            if self.glued is not None and (inside := self.glued.search(text.unspaced)):
                return inside[0]
        return ""


def _list(terms: Iterable[str]) -> _List:
    plain = [" ".join(_WORD.findall(_plain(term))) for term in terms]
    glued = "|".join(_bounded(term.replace(" ", "")) for term in plain if _UNSPACED.search(term))
    spaced = [term for term in plain if term and not _UNSPACED.search(term)]
    words = frozenset(term for term in spaced if " " not in term)
    return _List(words, tuple(term for term in spaced if " " in term), re.compile(glued) if glued else None)


def _bounded(term: str) -> str:
    """A pattern for a term: words in katakana end where the katakana does, so that calories hold no other word."""
    katakana = all("ァ" <= sign <= "ヿ" for sign in term)
    return rf"(?<![ァ-ヿ]){re.escape(term)}(?![ァ-ヿ])" if katakana else re.escape(term)


@lru_cache(maxsize=8)
def _own(terms: tuple[str, ...]) -> _List:
    """An owner's list, read once."""
    return _list(terms)


def _readings(prompt: str) -> Iterator[_Text]:
    """The words of the prompt, each time with another disguise taken off. The same reading comes once."""
    plain = _plain(prompt)
    bare = _SYNTAX.sub("", plain)
    texts = [plain, bare]
    for text in (plain, bare):
        texts.append(text.translate(_ALIKE))
    digits = _RUN.sub(lambda found: _without_digits(found[0]), texts[-1])
    texts.append(_SIGN_IN_WORD.sub(lambda found: found[0].translate(_LEET), digits))
    texts += [_SPACED.sub(lambda found: _GAPS.sub("", found[0]), text) for text in (bare, texts[-1])]
    texts.append(_REPEATED.sub(r"\1", texts[-1]))
    for text in dict.fromkeys(texts):
        words = _WORD.findall(text)
        unspaced = [word for word in words if _UNSPACED.search(word)]
        together = f"{' '.join(unspaced)} {''.join(unspaced)}"
        yield _Text(frozenset(words), f" {' '.join(words)} ", together)


def _without_digits(word: str) -> str:
    """The word with letters where digits stand for them; a number stays one."""
    letters = any(sign.isalpha() for sign in word)
    return word.translate(_LEET) if letters and any(sign.isdecimal() for sign in word) else word


def _young(readings: Iterable[_Text]) -> bool:
    """Whether an age below ADULT is given."""
    for text in readings:
        for found in _AGE.finditer(text.line):
            if int(next(filter(None, found.groups()))) < ADULT:
                return True
    return False


def _plain(text: str) -> str:
    """Lower case, one form for each letter, without accents and without what cannot be seen."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    apart = unicodedata.normalize("NFD", folded)
    seen = "".join(sign for sign in apart if unicodedata.category(sign) not in _UNSEEN or sign in _KEPT)
    return unicodedata.normalize("NFC", seen)


def _built_in(text: str) -> _List:
    return _list(term.replace("+", " ") for term in text.split())


_LISTS = {"never": _built_in(_NEVER), "minors": _built_in(_MINORS), "sexual": _built_in(_SEXUAL)}
