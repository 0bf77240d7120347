/* Candidates as JSON text, without an object for each. */
#include "native.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DECIMALS = 6, MILLION = 1000000 };

/* To six decimals, as Python would print what numpy rounds; null where it is no number. */
static char *put_number(char *to, float number) {
    double scaled = rint((double)number * MILLION);
    if (!isfinite(scaled)) return memcpy(to, "null", 4), to + 4;
    if (fabs(scaled) > 9e15) return to + sprintf(to, "%.1f", (double)number);
    uint64_t rest = (uint64_t)fabs(scaled), whole = rest / MILLION;
    char digits[24];
    int n = 0;
    if (scaled < 0) *to++ = '-';
    do digits[n++] = '0' + whole % 10; while (whole /= 10);
    while (n) *to++ = digits[--n];
    *to++ = '.';
    rest %= MILLION;
    uint64_t place = MILLION / 10;
    do *to++ = '0' + rest / place, rest %= place, place /= 10; while (rest);
    return to;
}

static char *put(char *to, const char *text) {
    size_t n = strlen(text);
    return memcpy(to, text, n), to + n;
}

/* How many bytes were written: at most those of the ids and CANDIDATE_BYTES more a candidate, and 2. */
int64_t recall_candidates(const Ids *ids, const int64_t *rows, const float *scores, const float *recall_scores,
                          int is_related, int64_t n, char *text) {
    char *to = put(text, "[");
    for (int64_t i = 0; i < n; i++) {
        int is_more = rows[i] >= ids->n_base;
        int64_t row = is_more ? rows[i] - ids->n_base : rows[i];
        const int64_t *start = (is_more ? ids->more_starts : ids->base_starts) + row;
        to = put(to, i ? ",{\"id\":" : "{\"id\":");
        memcpy(to, (is_more ? ids->more : ids->base) + start[0], start[1] - start[0]);
        to = put_number(put(to + (start[1] - start[0]), ",\"score\":"), scores[i]);
        to = put_number(put(to, ",\"recall_score\":"), recall_scores[i]);
        to = put(to, ",\"relation_score\":");
        to = is_related ? put_number(to, scores[i]) : put(to, "null");
        *to++ = '}';
    }
    *to++ = ']';
    return to - text;
}
