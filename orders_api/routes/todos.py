"""The team's to-do list."""

from typing import Annotated

from fastapi import Path, Query
from sqlmodel import col

from orders_api.models import MAX_INTEGER, Todo, TodoIn, TodoOut, TodoUpdate
from orders_api.web import Filter, Page, Read, Router, UpdatedSince, Write, since

router = Router(prefix="/todos", tags=["todos"])

TodoId = Annotated[int, Path(alias="todoId", ge=1, le=MAX_INTEGER, description="The to-do's id.")]


class TodoPage(Page):
    complete: Annotated[bool | None, Filter(lambda value: col(Todo.complete) == value)] = None
    updated_since: Annotated[UpdatedSince, since(col(Todo.updated_at))] = None


@router.get("")
async def list_todos(read: Read, page: Annotated[TodoPage, Query()]) -> list[TodoOut]:
    """List to-dos, oldest first."""
    return await read.page(TodoOut, page)


@router.post("", status_code=201)
async def create_todo(write: Write, body: TodoIn) -> TodoOut:
    """Create a to-do."""
    return await write.create(Todo.model_validate(body))


@router.get("/{todoId}")
async def get_todo(read: Read, todo_id: TodoId) -> TodoOut:
    """Get a to-do."""
    return await read.get_or_404(TodoOut, todo_id)


@router.put("/{todoId}")
async def replace_todo(write: Write, todo_id: TodoId, body: TodoUpdate) -> TodoOut:
    """Change the members that are sent, as `PATCH` does."""
    return await update_todo(write, todo_id, body)


@router.patch("/{todoId}")
async def update_todo(write: Write, todo_id: TodoId, body: TodoUpdate) -> TodoOut:
    """Change the members that are sent."""
    return (await write.get_for_update(Todo, todo_id)).sqlmodel_update(body.changes())


@router.delete("/{todoId}", status_code=204)
async def delete_todo(write: Write, todo_id: TodoId) -> None:
    """Delete a to-do."""
    await write.delete_or_404(Todo, todo_id)
