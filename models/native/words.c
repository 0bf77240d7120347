/* What models/lexical.py says in numpy of a text's terms. */
#include <string.h>

#include "native.h"
#include "vectors.h"

/* words = [unit lexical vector ; what the words add] of n terms that occur so often; zeros where there is none. */
void recall_words(const Lexicon *lexicon, const int32_t *terms, const int32_t *counts, int64_t n, float *words) {
    int64_t dim = lexicon->dim, width = lexicon->width;
    float size = 0;
    memset(words, 0, width * sizeof *words);
    for (int64_t i = 0; i < n; i++) {
        const float *row = lexicon->rows + terms[i] * width;
        float weight = (1 + logf(counts[i])) * lexicon->idf[terms[i]];
        if (i + 1 < n) ask_for(lexicon->rows + terms[i + 1] * width, width);
        size += weight * weight;
        add(words, row, weight, width);
    }
    if (!(size > 0)) return;
    scale(words + dim, 1 / sqrtf(size), width - dim);
    unit(words, dim);
}
