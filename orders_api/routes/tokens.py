"""Signing in and out."""

from typing import Annotated, Literal

from fastapi import Form, Request, Response
from pydantic import BaseModel, Field
from sqlmodel import col, delete

from orders_api.models import SearchText, Token
from orders_api.web import (
    TOKEN_LIFETIME,
    TOO_MANY,
    UNAUTHORIZED,
    CurrentCaller,
    Router,
    Write,
    document_problems,
    sign_in,
)

router = Router(prefix="/token", tags=["sign-in"])


class SignIn(BaseModel):
    """The form of OAuth 2.0's password grant (RFC 6749, 4.3.2); other members are ignored."""

    username: SearchText = Field(min_length=1, examples=["ada"])
    password: str = Field(min_length=1, max_length=1000, examples=["correct horse"])
    grant_type: Literal["password"] = "password"


class TokenOut(BaseModel):
    """In the spelling of OAuth 2.0 (RFC 6749, 5.1)."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token, no token
    expires_in: int = int(TOKEN_LIFETIME.total_seconds())


@router.post("", public=True, responses=document_problems(UNAUTHORIZED, TOO_MANY))
async def create_token(
    request: Request, response: Response, form: Annotated[SignIn, Form()]
) -> TokenOut:
    """Sign in with the OAuth 2.0 password form; 429 after 10 failures in a row.

    An `Idempotency-Key` has no effect here: no token is kept, so each sign-in makes another one.
    """
    response.headers["Cache-Control"] = "no-store"
    return TokenOut(access_token=await sign_in(request, form.username, form.password))


@router.delete("", status_code=204)
async def delete_token(write: Write, who: CurrentCaller) -> None:
    """Sign out: the token of this request is worth nothing from now on."""
    await write.exec(delete(Token).where(col(Token.token_hash) == who.must_have_token()))
