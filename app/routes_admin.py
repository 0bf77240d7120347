"""The operator's routes: take what `current` names now, or go back to what was live before."""

from dataclasses import asdict

import orjson
from fastapi import APIRouter, Request, Response

from app.routes import PROBLEMS
from app.schemas_changes import SwapAnswer
from app.security import AdminRoute
from app.swap import Swap, Swapper

router = APIRouter(prefix="/admin", route_class=AdminRoute, responses=PROBLEMS, tags=["operation"])


@router.post("/reload", response_model=SwapAnswer)
async def reload(request: Request) -> Response:
    """Serves the artifact that `current` names, even one that was refused before; answers when it is served."""
    return _answer(request, await _swapper(request).reload())


@router.post("/rollback", response_model=SwapAnswer)
async def rollback(request: Request) -> Response:
    """Serves the artifact that was live before, and makes it the live one; again, the one before that."""
    return _answer(request, await _swapper(request).roll_back())


def _swapper(request: Request) -> Swapper:
    swapper: Swapper = request.app.state.swapper
    return swapper


def _answer(request: Request, swap: Swap) -> Response:
    request.state.log.update(asdict(swap))
    return Response(orjson.dumps(swap), media_type="application/json")
