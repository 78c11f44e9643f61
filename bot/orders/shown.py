"""What of a job somebody may see. Every list of jobs goes through here."""

from __future__ import annotations

from dataclasses import replace

from engine import Request

from .rights import Right, right_of
from .values import Job, Who


def shown_to(job: Job, who: Who) -> Job | None:
    """The job as this person may see it. None: they may not know of it.

    One's own is shown whole. That there is one, whose it is and how far, is for moderators of its server, and for the
    people who run the bot. Its words, adapters and pictures are for those who could read its card anyway: admins of
    the server, and moderators in its channel; what was ordered in an age-restricted place only in such a place.
    """
    asked = job.order.who
    if asked.member_id == who.member_id:
        return job
    here = who.guild_id is not None and who.guild_id == asked.guild_id
    right = right_of(who)
    if not (right is Right.OWNER or (here and right >= Right.MODERATOR)):
        return None
    reads = here and (right >= Right.ADMIN or asked.governed_by == who.governed_by)
    return job if reads and (who.adult or not asked.adult) else _redacted(job)


def _redacted(job: Job) -> Job:
    """Whose, where, when and how far; an empty prompt says that it is not for whoever looks."""
    asked = Who(job.order.who.member_id, "", job.order.who.guild_id, job.order.who.channel_id)
    order = replace(job.order, token="", who=asked, request=Request(prompt=""), parent_job=None)
    return replace(job, order=order, pictures=(), report=(), sentence="")
