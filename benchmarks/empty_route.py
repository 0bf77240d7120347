"""A FastAPI route that reads the request and does nothing: what HTTP and validation alone cost, for scale."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Query(BaseModel):
    """The body that the measured services get."""

    text: str
    k: int = 100


app = FastAPI()


@app.post("/recall")
async def recall(query: Query) -> dict[str, list[str]]:
    """Answers without candidates."""
    return {"candidates": []}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
