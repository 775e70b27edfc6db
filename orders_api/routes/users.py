"""Users: the members of the team."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Request
from sqlmodel import col, delete

from orders_api.models import Token, User, UserIn, UserOut, UserUpdate
from orders_api.web import (
    FORBIDDEN,
    CurrentCaller,
    Page,
    Read,
    Router,
    UpdatedSince,
    Write,
    document_problems,
    hash_password,
    since,
)

router = Router(prefix="/users", tags=["users"])

UserId = Annotated[UUID, Path(alias="userId", description="The user's id.")]


class UserPage(Page):
    updated_since: Annotated[UpdatedSince, since(col(User.updated_at))] = None


@router.get("")
async def list_users(read: Read, page: Annotated[UserPage, Query()]) -> list[UserOut]:
    """List users, oldest first."""
    return await read.page(UserOut, page)


@router.post("", status_code=201)
async def create_user(request: Request, write: Write, body: UserIn) -> UserOut:
    """Create a user, who may sign in from now on."""
    password_hash = await hash_password(request, body.password)
    return await write.create(User.of(body, password_hash))


@router.get("/{userId}")
async def get_user(read: Read, user_id: UserId) -> UserOut:
    """Get a user."""
    return await read.get_or_404(UserOut, user_id)


@router.patch("/{userId}", responses=document_problems(FORBIDDEN))
async def update_user(
    request: Request, write: Write, who: CurrentCaller, user_id: UserId, body: UserUpdate
) -> UserOut:
    """Change yourself; a new password ends all your sign-ins, this one included."""
    who.require_self(user_id)
    changes = body.changes()
    if "password" in changes:
        changes["password_hash"] = await hash_password(request, changes.pop("password"))
        await write.exec(delete(Token).where(col(Token.user_id) == user_id))
    if "username" in changes:
        changes["login"] = User.login_of(changes["username"])
    return (await write.get_for_update(User, user_id)).sqlmodel_update(changes)


@router.delete("/{userId}", status_code=204, responses=document_problems(FORBIDDEN))
async def delete_user(write: Write, who: CurrentCaller, user_id: UserId) -> None:
    """Delete yourself; your sign-ins end."""
    who.require_self(user_id)
    await write.delete_or_404(User, user_id)
