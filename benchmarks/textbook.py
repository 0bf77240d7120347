"""The textbook service, as tutorials write it: FastAPI, SentenceTransformer.encode, exact FAISS, uvicorn's defaults.

What this project's service is measured against: the same encoder files, item vectors and ids. No cache, no cleaning of
texts, no thread settings. Run it with `python -m benchmarks.textbook ARTIFACT PORT`.
"""

import json
import sys
from pathlib import Path

import faiss
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

from models.artifact import EMBEDDINGS, ENCODER, ITEM_IDS, MANIFEST


class Query(BaseModel):
    """A user's text, and how many candidates are wanted."""

    text: str
    k: int = 100


class Candidate(BaseModel):
    """An item id and its inner product with the text."""

    id: str
    score: float


class Answer(BaseModel):
    """Candidates, best first."""

    candidates: list[Candidate]


def create_app(artifact: Path) -> FastAPI:
    """Loads everything and returns the application."""
    item_vectors = np.load(artifact / EMBEDDINGS)
    model = SentenceTransformer(str(artifact / ENCODER), device="cpu", truncate_dim=item_vectors.shape[1])
    prompt = json.loads((artifact / MANIFEST).read_text())["encoder"]["prompts"]["user"]
    item_ids = json.loads((artifact / ITEM_IDS).read_text())
    index = faiss.IndexFlatIP(item_vectors.shape[1])
    index.add(item_vectors)
    app = FastAPI()

    @app.post("/recall")
    def recall(query: Query) -> Answer:
        vectors = model.encode([query.text], prompt=prompt or None)
        scores, rows = index.search(vectors, query.k)
        found = zip(rows[0], scores[0], strict=True)
        return Answer(candidates=[Candidate(id=item_ids[row], score=score) for row, score in found])

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(Path(sys.argv[1])), port=int(sys.argv[2]))
