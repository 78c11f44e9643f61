"""The cards of /lora add and what /lora info says of an origin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.importing import AtSource, Licence, Preview, Provenance, Removed, Updated
from bot.orders.additions import Offer, Origin, proposed_name, spell_licence
from bot.views.offers import offer_card, origin_lines, page_button, progress_card
from tests.fakes import NOW

OFFER = Offer(title="Ink", file_name="ink.safetensors", proposed="ink", origin="Civitai", size=200_000_000)


def shown(card: object) -> str:
    return "\n".join(getattr(item, "content", "") for item in card.walk_children())  # type: ignore[attr-defined]


def pictures(card: object) -> list[str]:
    galleries = [item for item in card.walk_children() if hasattr(item, "items")]  # type: ignore[attr-defined]
    return [item.media.url for gallery in galleries for item in gallery.items]


def test_samples_that_are_not_for_everybody_are_shown_to_adults_alone() -> None:
    both = replace(OFFER, previews=(Preview("https://x/a.png", False), Preview("https://x/b.png", True)))
    assert pictures(offer_card(both, adult=False)) == ["https://x/a.png"]
    assert pictures(offer_card(both, adult=True)) == ["https://x/a.png", "https://x/b.png"]
    assert "1 sample picture is not shown" in shown(offer_card(both, adult=False))


def test_samples_of_a_real_person_that_are_not_for_everybody_are_shown_to_nobody() -> None:
    both = replace(OFFER, previews=(Preview("https://x/a.png", False), Preview("https://x/b.png", True)))
    assert pictures(offer_card(replace(both, real_person=True), adult=True)) == ["https://x/a.png"]


def test_a_card_warns_of_what_cannot_be_drawn_here_or_not_everywhere() -> None:
    risky = replace(OFFER, family="SDXL", base="Pony", mature=True, real_person=True, warnings=("No hash.",))
    said = shown(offer_card(risky, adult=True, drawn="SD 1.5"))
    for words in ("made for: `Pony` (SDXL)", "usual base model here, which is SD 1.5", "age-restricted", "real person"):
        assert words in said, words
    assert "No hash." in said
    assert "usual base model" not in shown(offer_card(OFFER, adult=True, drawn="SD 1.5"))


def test_every_card_fits_discord() -> None:
    long = replace(
        OFFER,
        title="`" * 900,
        triggers=("<" * 200,) * 20,
        description="*" * 600,
        licence="_" * 300,
        warnings=("|" * 200,) * 9,
        scans={"x" * 99: "y" * 99},
        previews=(Preview("https://x/a.png", False),) * 9,
    )
    card = offer_card(long, adult=True, drawn="SDXL")
    assert card.content_length() <= 4000
    assert len(pictures(card)) == 4


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [(0, None, "0 bytes so far"), (50, 200, "25 % of 200 bytes"), (200, 200, "every byte is checked")],
)
def test_progress_says_how_much_has_come(done: int, total: int | None, words: str) -> None:
    assert words in shown(progress_card(OFFER, done, total))


def test_only_a_web_page_gets_a_button() -> None:
    assert [button.url for button in page_button(replace(OFFER, page="https://civitai.com/models/1"))] == [
        "https://civitai.com/models/1"
    ]
    for page in ("", "javascript:alert(1)", "https://x/" + "y" * 600):
        assert page_button(replace(OFFER, page=page)) == ()


def origin(at_source: AtSource | None) -> Origin:
    come_from = Provenance(
        origin="Civitai", source="12345@67890", page="", file_name="", sha256="", fetched_at="", creator="`maker`"
    )
    assert at_source is None or isinstance(at_source, Removed | Updated)
    return Origin(1, come_from, at_source, NOW)


def test_an_origin_says_what_became_of_it_and_its_owner_how_to_follow() -> None:
    assert origin_lines(origin(None), mine=True) == ["from: Civitai by `ˋmakerˋ`"]
    assert "is gone from Civitai" in origin_lines(origin(Removed("x")), mine=False)[1]
    newer = Updated("v3", "https://civitai.com/models/1?modelVersionId=3")
    assert (
        "`/lora add source:https://civitai.com/models/1?modelVersionId=3`" in origin_lines(origin(newer), mine=True)[1]
    )
    assert "/lora add" not in origin_lines(origin(newer), mine=False)[1]


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        (Licence("mit"), "mit."),
        (Licence(commercial=()), "No commercial use."),
        (
            Licence(credit_needed=False, commercial=("Sell",), derivatives=True, other_licence=True),
            "The file may be sold.",
        ),
        (Licence(credit_needed=True, derivatives=False), "Credit the maker. No merges and other derivatives."),
        (Licence(), ""),
    ],
)
def test_a_licence_says_what_its_maker_states(licence: Licence, words: str) -> None:
    assert spell_licence(licence) == words


@pytest.mark.parametrize(
    ("file", "title", "name"),
    [
        ("MoXinV1.safetensors", "Mo Xin", "MoXinV1"),
        ("pytorch_lora_weights.safetensors", "ink-lora", "ink-lora"),
        ("a<b>:c,d.safetensors", "", "a b c d"),
        ("墨心.safetensors", "", "墨心"),
        (":::.safetensors", "", "adapter"),
    ],
)
def test_a_name_is_made_that_a_prompt_can_spell(file: str, title: str, name: str) -> None:
    assert proposed_name(file, title) == name
