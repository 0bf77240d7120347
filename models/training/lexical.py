"""Fitting lexical features on the past's texts: TF-IDF, and its projection for the service."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from models.lexical import Lexicon, terms

_MAX_TERMS = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class LexicalFit:
    """What the texts of a catalogue say word by word.

    Attributes:
        lexicon: Turns any text into a lexical vector; goes into the artifact.
        tfidf: The fitted texts, unit rows, shape `(n_texts, n_terms)`.
    """

    lexicon: Lexicon
    tfidf: csr_matrix


def fit_lexicon(texts: Sequence[str], *, dim: int = 256, seed: int = 0) -> LexicalFit | None:
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
        tfidf = csr_matrix(vectorizer.fit_transform(texts))
    except ValueError:  # scikit-learn's word for an empty vocabulary
        return None
    rank = min(dim, *(size - 1 for size in tfidf.shape))
    if rank < 1:
        return None
    loadings = TruncatedSVD(rank, random_state=seed).fit(tfidf).components_.T
    projection = (vectorizer.idf_[:, None] * loadings).astype(np.float32)
    vocabulary = {term: int(column) for term, column in vectorizer.vocabulary_.items()}
    return LexicalFit(Lexicon(vocabulary, projection), tfidf)
