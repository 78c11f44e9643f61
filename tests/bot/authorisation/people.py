"""Who there is, where they are, and what each may see and do: the small table that the bot is held against.

It is written from what the issue asks for and shares no code with the bot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Place(StrEnum):
    HERE = "here"  # the server that things are of
    ADULT = "adult"  # an age-restricted channel there
    ELSEWHERE = "elsewhere"  # another server
    DIRECT = "direct"  # a direct message


class Person(StrEnum):
    OWNER = "owner"  # whose the things are: no rights beside
    MEMBER = "member"
    MODERATOR = "moderator"
    ADMIN = "admin"
    OPERATOR = "operator"  # runs the bot: no rights in any server
    STRANGER = "stranger"  # is in the other server alone
    THEIR_MODERATOR = "their_moderator"  # moderates the other server, a member here
    THEIR_ADMIN = "their_admin"


class Rank(IntEnum):
    MEMBER = 0
    MODERATOR = 1
    ADMIN = 2
    OPERATOR = 3


class Thing(StrEnum):
    """Whom the owner's adapters are for, and one that there is not; then four of everyone's, set apart."""

    PRIVATE = "private"
    GUILD = "guild"
    EVERYONE = "everyone"
    MISSING = "missing"
    MATURE = "mature"  # not for everybody
    PERSON = "person"  # of a real one
    BANNED = "banned"  # in HERE
    QUARANTINED = "quarantined"


SPECIAL = (Thing.MATURE, Thing.PERSON, Thing.BANNED, Thing.QUARANTINED)
IN_SERVER = (Place.HERE, Place.ADULT)
RANKS = {
    (Person.MODERATOR, Place.HERE): Rank.MODERATOR,
    (Person.MODERATOR, Place.ADULT): Rank.MODERATOR,
    (Person.ADMIN, Place.HERE): Rank.ADMIN,
    (Person.ADMIN, Place.ADULT): Rank.ADMIN,
    (Person.THEIR_MODERATOR, Place.ELSEWHERE): Rank.MODERATOR,
    (Person.THEIR_ADMIN, Place.ELSEWHERE): Rank.ADMIN,
    **{(Person.OPERATOR, place): Rank.OPERATOR for place in Place},
}
NAMES = {
    Thing.PRIVATE: "zzqxv",
    Thing.GUILD: "hhwkj",
    Thing.EVERYONE: "ppmtd",
    Thing.MISSING: "yyubn",
    Thing.MATURE: "kkrbg",
    Thing.PERSON: "ttlfm",
    Thing.BANNED: "ddcsv",
    Thing.QUARANTINED: "wwnje",
}
"""Nothing like each other, so that no sentence offers one of them for another."""
TITLES = {
    Thing.PRIVATE: "canaryvault",
    Thing.GUILD: "canaryhall",
    Thing.EVERYONE: "canaryopen",
    Thing.MATURE: "mottlesphinx",
    Thing.PERSON: "bjoergquilt",
    Thing.BANNED: "fidgetwombs",
    Thing.QUARANTINED: "duskyplumx",
}
"""What their files say of themselves: nobody types these."""
PROMPT = "canaryprompt"  # of the owner's job, whose card stands in HERE
LISTS = ("lora browse", "lora search", "lora list", "offered")
"""What shows adapters that nobody has named: those that are not for everybody in age-restricted places alone."""
WORDS = "canarywords"  # of a report that a member made there


@dataclass(frozen=True)
class Seat:
    """A person in a place: one row of the matrix."""

    person: Person
    place: Place

    @property
    def rank(self) -> Rank:
        return RANKS.get((self.person, self.place), Rank.MEMBER)

    def sees(self, thing: Thing) -> bool:
        """Whether the adapter exists for them there."""
        return {
            Thing.PRIVATE: self.person is Person.OWNER,
            Thing.GUILD: self.place in IN_SERVER,
            Thing.MISSING: False,
            Thing.BANNED: self.place not in IN_SERVER or self.person is Person.OWNER,
        }.get(thing, True)

    def draws(self, thing: Thing) -> str:
        """What an order with one of the last four comes to."""
        if not self.sees(thing):
            return "missing"
        may = {
            Thing.MATURE: self.place is Place.ADULT,
            Thing.BANNED: self.place not in IN_SERVER,
        }
        return "done" if may.get(thing, False) else "refused"

    @property
    def governs(self) -> bool:
        """Whether they may take the owner's job away."""
        return self.person is Person.OWNER or self.decides

    @property
    def decides(self) -> bool:
        """Whether they decide the reports of HERE."""
        return self.rank is Rank.OPERATOR or (self.rank >= Rank.MODERATOR and self.place in IN_SERVER)

    def __str__(self) -> str:
        return f"{self.person} in {self.place}"


ALIKE = {  # as another person is in the same place
    (Person.ADMIN, Place.DIRECT),
    (Person.THEIR_ADMIN, Place.DIRECT),
    (Person.THEIR_ADMIN, Place.HERE),
}
SEATS = tuple(
    Seat(person, place)
    for person in Person
    for place in Place
    if not (person is Person.STRANGER and place in IN_SERVER)
    if (person, place) not in ALIKE
    if place is not Place.ADULT or person in (Person.OWNER, Person.MEMBER, Person.MODERATOR)
)


def may_read(seat: Seat, canary: str, command: str = "") -> bool:
    """Whether what the bot says to this person, here and to this command, may hold these words."""
    if command == "privacy export" and canary != WORDS:
        return seat.person is Person.OWNER
    for thing, title in TITLES.items():
        if canary in (title, NAMES[thing]):
            if thing is Thing.MATURE and command in LISTS and seat.place is not Place.ADULT:
                return False
            if thing is Thing.BANNED and seat.decides:  # who reads what is banned
                return True
            return seat.sees(thing) or (seat.rank is Rank.OPERATOR and command.startswith(("adapter ", "admin ")))
    if canary == WORDS:
        return seat.decides and command in ("moderate reports", "decide")
    if canary == PROMPT:  # everybody there reads it on the card that the menu is of
        decided = seat.decides and (command == "decide" or (command == "admin queue" and seat.place in IN_SERVER))
        return seat.person is Person.OWNER or command in ("Read metadata", "Report") or decided
    return True


CANARIES = (*TITLES.values(), *(NAMES[thing] for thing in TITLES), WORDS, PROMPT)
