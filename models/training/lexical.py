"""Fitting lexical features on the past's texts: TF-IDF, and its projection for the service."""

from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from models.lexical import Lexicon, terms

_MAX_TERMS = 50_000


def fit_lexicon(texts: Sequence[str], *, dim: int = 256, seed: int = 0) -> Lexicon | None:
    """Fits TF-IDF and its truncated SVD; None where the texts hold too few terms for it.

    Args:
        texts: Clean texts of the past: the catalogue's.
        dim: Dimensions of the lexical vectors, at most.
        seed: Of the randomised SVD.
    """
    vectorizer = TfidfVectorizer(
        analyzer=terms,
        sublinear_tf=True,
        min_df=2 if len(texts) > 500 else 1,
        max_features=_MAX_TERMS,
        dtype=np.float32,
    )
    try:
        tfidf = vectorizer.fit_transform(texts)
    except ValueError:  # scikit-learn's word for an empty vocabulary
        return None
    rank = min(dim, *(size - 1 for size in tfidf.shape))
    if rank < 1:
        return None
    loadings = TruncatedSVD(rank, random_state=seed).fit(tfidf).components_.T
    projection = (vectorizer.idf_[:, None] * loadings).astype(np.float32)
    vocabulary = {term: int(column) for term, column in vectorizer.vocabulary_.items()}
    return Lexicon(vocabulary, projection)
