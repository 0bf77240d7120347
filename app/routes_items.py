"""The routes of items that change between builds."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request, Response

from app.live_items import LiveItems
from app.routes import PROBLEMS
from app.schemas_changes import DeletedItem, ItemsAnswer, ItemsRequest
from app.security import KeyedRoute
from app.swap import Swapper

router = APIRouter(prefix="/items", route_class=KeyedRoute, responses=PROBLEMS, tags=["items"])


@router.put("", response_model=ItemsAnswer)
async def put_items(body: ItemsRequest, request: Request) -> Response:
    """Adds items, or changes fields of known ones; answers when they are recalled here."""
    rejected = await _live_items(request).put(_swapper(request), body.items)
    answer = {
        "accepted": len(body.items) - len(rejected),
        "rejected": [{"index": index, "reason": reason} for index, reason in rejected],
    }
    request.state.log.update(accepted=answer["accepted"], rejected=len(rejected))
    return Response(orjson.dumps(answer), media_type="application/json")


@router.delete("/{item_id:path}", response_model=DeletedItem)
async def delete_item(item_id: Annotated[str, Path(min_length=1, max_length=512)], request: Request) -> Response:
    """Deletes an item; answers when it isn't recalled here any more. One that nobody knows is deleted, too."""
    await _live_items(request).delete(_swapper(request), item_id)
    return Response(orjson.dumps({"id": item_id}), media_type="application/json")


def _live_items(request: Request) -> LiveItems:
    live_items: LiveItems = request.app.state.live_items
    return live_items


def _swapper(request: Request) -> Swapper:
    swapper: Swapper = request.app.state.swapper
    return swapper
