"""Who a number means. What is kept for good names people by numbers; removing the row here forgets the person."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from .models import PersonRow


async def person_of(session: AsyncSession, member_id: int) -> int:
    """The member's number, given now where there was none. A number once given never means somebody else."""
    known = await session.scalar(select(PersonRow.id).where(PersonRow.member_id == member_id))
    if known is not None:
        return known
    session.add(person := PersonRow(member_id=member_id))
    await session.flush()
    return person.id
