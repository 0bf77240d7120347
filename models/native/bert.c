/* Which instructions compute BERT. */
#include <stdlib.h>

#include "bert_space.h"
#include "native.h"

typedef void Encode(Text *text);
Encode recall_encode_portable, recall_encode_avx512, recall_encode_amx;
int recall_may_use_tiles(void);

static Encode *const KERNELS[] = {
    [PORTABLE] = recall_encode_portable,
#if defined(__x86_64__)
    [AVX512] = recall_encode_avx512,
#if defined(__linux__)
    [AMX] = recall_encode_amx,
#endif
#endif
};

/* Says whether the library has it, and the system allows it; whether the CPU has it is for Python to know. */
int recall_has_kernel(int kernel) {
    if (kernel >= (int)(sizeof KERNELS / sizeof *KERNELS) || KERNELS[kernel] == NULL) return 0;
#if defined(__x86_64__) && defined(__linux__)
    if (kernel == AMX) return recall_may_use_tiles();
#endif
    return 1;
}

/* Bytes that encoding n tokens in so many parts takes. */
int64_t recall_space(const Bert *bert, int64_t n, int64_t parts) {
    return lay_out(&(Space){0}, bert, n, parts, NULL) + 64;
}

/* Nothing is done where there is no memory. What one thread needs it takes only now: it finds what was used last, which
   is still in its cache. */
void recall_encode(Text *text) {
    int is_alone = text->space == NULL;
    if (is_alone) text->space = malloc(recall_space(text->bert, text->n, text->parts));
    if (text->space == NULL) return;
    KERNELS[text->kernel](text);
    if (is_alone) free(text->space);
}
