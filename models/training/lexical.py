"""Fitting lexical features on the catalogue's texts: TF-IDF, and its truncated SVD for the service."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from models.lexical import Lexicon, no_terms, terms
from models.types import Matrix

_MAX_TERMS = 50_000


def fit_lexicon(texts: Sequence[str], *, dim: int = 256, seed: int = 0) -> Lexicon:
    """Fits TF-IDF and its truncated SVD; a lexicon without terms where the texts hold too few for it.

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
        return no_terms()
    rank = min(dim, *(size - 1 for size in tfidf.shape))
    if rank < 1:
        return no_terms()
    loadings = TruncatedSVD(rank, random_state=seed).fit(tfidf).components_.T
    vocabulary = {term: int(column) for term, column in vectorizer.vocabulary_.items()}
    return Lexicon(
        vocabulary, vectorizer.idf_.astype(np.float32), loadings.astype(np.float32), no_words(len(vocabulary))
    )


def no_words(n_terms: int) -> Matrix:
    """Returns what words add before a tower is learnt: nothing."""
    return np.empty((n_terms, 0), np.float32)


def term_matrix(lexicon: Lexicon, texts: Sequence[str]) -> csr_matrix:
    """Returns the TF-IDF of clean texts, unit rows, shape `(n_texts, n_terms)`."""
    weighed = [lexicon.weigh(text) for text in texts]
    ends = np.cumsum([0, *(len(columns) for columns, _ in weighed)])
    columns = np.concatenate([np.empty(0, np.int64), *(columns for columns, _ in weighed)])
    values = np.concatenate([np.empty(0, np.float32), *(values for _, values in weighed)])
    return csr_matrix((values, columns, ends), shape=(len(texts), len(lexicon.vocabulary)))
