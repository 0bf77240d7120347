/* What Python calls: models/native/library.py reads this file, too (without the lines that begin with #).

   Matrices are rows of float32, one after the other unless a stride, in floats, says otherwise. `half` is float16. */
#ifndef RECALL_NATIVE_H
#define RECALL_NATIVE_H

#include <stdint.h>

enum { MAX_HOPS = 4, N_FEATURES = 23, CANDIDATE_BYTES = 220, PACKED_ROWS = 16 };

typedef struct {
    const float *weight, *bias; /* of several members one behind the other */
} Affine;

typedef struct {
    const void *weight; /* half, (height, width) */
    const float *bias;
} Layer;

typedef struct {
    Affine query_norm, token_norm, inner_norm;
    Layer asked, read, found, inner, outer;
} Hop;

/* What a text's words say: rows are [loadings ; what they add to the tower's vectors]. */
typedef struct {
    int64_t dim, width; /* of the loadings, and of a row */
    const float *rows, *idf;
} Lexicon;

typedef struct {
    int64_t dim, members, heads, hops, longest, text_dim, hidden;
    float decay, slope;
    const float *residual;
    const void *text_projection; /* half, (text_dim, dim) */
    Layer text_inner, text_outer, text_token, item_token, query, out;
    Affine out_norm;
    Hop hop[MAX_HOPS];
} Tower;

typedef struct {
    int64_t d0, d1, d2; /* of the zero-shot, behaviour and tower part */
    float decay;
    const void *projection;      /* half, (text_dim, d0) */
    const float *covariances[4]; /* of each part and of popularity */
    Tower tower;
} Matching;

/* What is known of a user; rows of texts are [meaning ; words]. */
typedef struct {
    int64_t n_texts, n_history, text_stride;
    const float *texts, *item_meaning, *item_behaviour, *item_tower, *weights;
} User;

/* Rows rounded to int8: row = factor * rounded. Packed to (n / PACKED_ROWS, width / 2, PACKED_ROWS, 2), both rounded up,
   zeros where there is no row or column. Products of up to 16,000 columns fit into int32. */
typedef struct {
    int64_t n, width;
    const int8_t *packed;
    const float *factors;
} Rounded;

/* Users who wrote, as unit rows, and in which views the nearest of them count: cosine to a power, of so many. */
typedef struct {
    Rounded texts;
    const float *rows;
    int64_t nearest, n_views;
    const int64_t *powers, *counted; /* (n_views,) */
} Writers;

/* What becomes of a user, to be filled. */
typedef struct {
    float *text_meaning, *text_tower; /* (n_texts, d0) and d2 */
    float *zero_shot, *behaviour, *tower, *popularity, *vector;
    int64_t *alike, n_alike; /* users who wrote alike, at most `nearest` */
    float *alike_weights;    /* (n_views, n_alike) */
    int is_known;            /* anything is */
} Asked;

/* A user to be asked for. */
typedef struct {
    const Matching *matching;
    const Writers *writers; /* NULL: nobody wrote */
    User user;
    float weights[4]; /* of the parts */
    Asked asked;
} Ask;

typedef struct {
    int64_t dim;
    const void *axes; /* half, (items.width, dim) */
    Rounded items;    /* along the axes */
    const float *vectors;
} Reduced;

/* Item vectors; rows from n_base on are in `more`. */
typedef struct {
    const float *base, *more;
    int64_t n_base, stride;
} Items;

/* A user and all that candidates are held against; as models/relation_features.py says. */
typedef struct {
    Items items;
    int64_t d0, d1, d2;
    const float *zero_shot, *behaviour, *tower;              /* the user's, scaled but unweighted */
    int64_t n_texts, n_history, n_words;                     /* all of them */
    int64_t n_read_texts, n_read_history;                    /* the newest, which follow */
    const float *text_meaning, *text_tower;                  /* (n_read_texts, d0) and d2 */
    const float *item_meaning, *item_behaviour, *item_tower; /* (n_read_history, d0), d1 and d2 */
    const int64_t *history;                                  /* rows, (n_read_history,) */
    int64_t n_fitted, n_near;                                /* whose neighbours are known, and how many each has */
    const int32_t *near;                                     /* (n_fitted, n_near) */
    const float *near_cosines;
    int64_t n_alike;
    const int64_t *alike;       /* users, (n_alike,) */
    const float *alike_weights; /* (2, n_alike) */
    const int64_t *starts;      /* of each user's items */
    const int32_t *consumed;
} Known;

typedef struct {
    int64_t n_features, hidden;
    const float *mean, *deviation, *linear, *outer;
    Affine inner, middle;
} Head;

/* Ids as JSON strings one after the other, and where each begins and the last ends; rows from n_base on are in `more`. */
typedef struct {
    int64_t n_base;
    const char *base, *more;
    const int64_t *base_starts, *more_starts;
} Ids;

/* A layer in int8: weight = factor of its row * (packed - 128). What it reads is rounded, too, and shares a factor by
   `group` neighbours. Packed to (height / 16, width / 4, 16, 4): 16 rows by 4 columns are one instruction's. */
typedef struct {
    const uint8_t *packed;
    const float *factors, *bias; /* (height,) */
    int64_t height, width, group;
} PackedLayer;

typedef struct {
    PackedLayer attention, attended, inner, outer; /* attention: queries, keys and values */
    Affine attended_norm, outer_norm;
} Block;

/* BERT: token ids in, the unit vector of their text out. */
typedef struct {
    int64_t dim, hidden, heads, n_blocks, out_dim; /* the first out_dim dimensions are kept */
    int is_mean;                                   /* of all tokens; else the first one's */
    float epsilon;
    const float *words, *positions, *type; /* words and positions have a row each */
    int64_t padding;                       /* a token that counts for no position, but has one; -1: there is none */
    const float *padding_position;
    const float *distances; /* NULL, or of each head what a key's score gets by how far behind the query it stands */
    int64_t n_distances, here; /* of a head; the place of no distance: keys before it are left of it */
    Affine norm;
    const Block *blocks;
} Bert;

enum { PORTABLE, AVX512, AMX };                        /* which instructions compute it */
enum { BERT_STEP = 64, NARROW_HEAD = 32, WIDE_HEAD = 64 }; /* dim and hidden are multiples of the first; a head's size */
enum { MAX_GROUPS = 8 };                               /* of what a layer reads */
enum { POOL_STEP = 16 };
enum { READ_ROWS = 32 };                               /* rows that products, and columns of distances that attention may read at a time */

/* A search: the k best of the n_compared that are best on a few axes. k <= n_compared <= eligible items. */
typedef struct {
    const Reduced *reduced;
    const uint8_t *eligible; /* (items,), may be NULL */
    int64_t k, n_compared;
} Compared;

/* From a user to a rescored pool. */
typedef struct {
    Ask *ask; /* NULL: the query is there already */
    const float *query;
    Compared items, more; /* more: whose rows are behind the items'; `reduced` is NULL where there are none */
    Known *known;     /* who wrote alike is what asking says */
    const Head *head; /* NULL: no rescoring */
    double deadline;  /* by recall_seconds */
    int64_t *rows;    /* the pool, (items.k,) */
    float *scores, *features, *relation;
    int32_t *order;
    int64_t n; /* found; -1 before it has begun, and where the deadline had passed then */
    int has_begun, is_rescored;
    double search_seconds, rescore_seconds;
} Find;

/* A text that is to be encoded, by one thread or by several at a time. */
typedef struct {
    const Bert *bert;
    const int32_t *tokens;
    int64_t n, parts; /* each of a share of the tokens */
    void *space;      /* recall_space bytes; NULL: of one part, which takes them itself */
    float *vector;
    int kernel;
    int64_t begun, done; /* of the work, a part of a block each */
} Text;

/* Questions and their right answers, those of a question one after the other. */
typedef struct {
    int64_t n_questions, n_items;
    uint16_t *logits;     /* (n_questions, n_items), bfloat16's bits, without the bias; becomes the loss's gradient by them */
    const float *bias;    /* (n_items) */
    const float *share;   /* (n_questions): what a question's answers weigh together */
    const int64_t *first; /* (n_questions + 1): of each question's answers, the first */
    const int64_t *target;
    const float *weight;
    float *values;     /* (n_items), for what is being computed */
    float *of_bias;    /* (n_items): the loss's gradient by the bias is added */
    float *likelihood; /* becomes the answers' log likelihood */
} Softmax;

/* Pools that the relation head is fitted on. Parameters, and the loss's gradient by them, lie one behind the other: inner
   weights (hidden, n_features) and bias, middle weights (hidden, hidden) and bias, outer (hidden), linear (n_features). */
typedef struct {
    int64_t size, n_features, hidden; /* size: candidates of a pool; n: that, filled up to a multiple of POOL_STEP */
    const float *features;            /* of all pools, (n_features, n) each */
    const float *wanted;              /* (n) each: shares of the right answers, which sum to 1 */
    int64_t n_pools;
    const int64_t *pools; /* which are read, (n_pools,) */
    const float *parameters;
    float *gradient; /* is added to */
} HeadFit;

/* What a thread of the library's own does, once: run(what). */
typedef struct Job {
    struct Job *next;
    void (*run)(void *what);
    void *what;
    int64_t number;
} Job;

typedef struct Threads Threads;

const char *recall_sources(void);
int recall_has_kernel(int kernel);
int64_t recall_space(const Bert *bert, int64_t n, int64_t parts);
void recall_encode(Text *text);
void recall_words(const Lexicon *lexicon, const int32_t *terms, const int32_t *counts, int64_t n, float *words);
void recall_ask(Ask *ask);
int64_t recall_alike(const Writers *writers, const float *texts, int64_t n_texts, int64_t stride, int64_t *users,
                     float *weights);
int64_t recall_search(const Compared *compared, const float *query, int64_t *rows, float *scores);
void recall_features(const Known *known, const int64_t *rows, const float *scores, int64_t n, float *features);
void recall_head(const Head *head, const float *features, int64_t n, float *scores, int32_t *order);
void recall_find(Find *find);
void recall_softmax(const Softmax *softmax);
float recall_head_gradient(const HeadFit *fit);
double recall_seconds(void);
Threads *recall_start_threads(int n, int bell);
void recall_send(Threads *threads, Job *job);
int64_t recall_done(Threads *threads, int64_t *numbers, int64_t n);
void recall_stop_threads(Threads *threads);
int64_t recall_candidates(const Ids *ids, const int64_t *rows, const float *scores, const float *recall_scores,
                          int is_related, int64_t n, char *text);

#endif
