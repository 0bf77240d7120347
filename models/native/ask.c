/* What models/tower.py and models/fused.py say in numpy, for the few rows of a request. Names and order are theirs. */
#include "native.h"
#include "vectors.h"

/* tanhf takes ten times as long; exact to float32's last digits. */
static inline float gelu(float x) {
    float z = 0.7978845608f * (x + 0.044715f * x * x * x);
    z = fminf(fmaxf(z, -10), 10); /* tanh is 1 there */
    float e = expf(2 * z);
    return 0.5f * x * (1 + (e - 1) / (e + 1));
}

static void gelus(float *values, int64_t n) {
    for (int64_t i = 0; i < n; i++) values[i] = gelu(values[i]);
}

/* Mean 0 and deviation 1: a layer norm before its weight and bias. */
static void standard(float *restrict to, const float *restrict from, int64_t n) {
    float mean = 0;
    for (int64_t i = 0; i < n; i++) mean += from[i];
    mean /= n;
    for (int64_t i = 0; i < n; i++) to[i] = from[i] - mean;
    scale(to, 1 / sqrtf(dot(to, to, n) / n + 1e-5f), n);
}

static void affine(float *restrict to, const float *restrict from, Affine norm, int64_t member, int64_t n) {
    const float *weight = norm.weight + member * n, *bias = norm.bias + member * n;
    for (int64_t i = 0; i < n; i++) to[i] = from[i] * weight[i] + bias[i];
}

static void layer(float *to, const float *from, Layer layer, int64_t member, int64_t height, int64_t width) {
    linear(to, (const half *)layer.weight + member * height * width, layer.bias + member * height, from, height, width);
}

/* outputs = of the user's texts, (n_texts, members * dim) */
static void text_outputs(const Tower *tower, const User *user, float *outputs) {
    int64_t dim = tower->dim, width = tower->text_dim, hidden_width = tower->hidden;
    float hidden[hidden_width];
    for (int64_t member = 0; member < tower->members; member++)
        for (int64_t text = 0; text < user->n_texts; text++) {
            const float *meaning = user->texts + text * user->text_stride, *words = meaning + width + member * dim;
            float *output = outputs + (text * tower->members + member) * dim;
            const half *projection = (const half *)tower->text_projection + member * width * dim;
            layer(hidden, meaning, tower->text_inner, member, hidden_width, width);
            gelus(hidden, hidden_width);
            layer(output, hidden, tower->text_outer, member, dim, hidden_width);
            for (int64_t i = 0; i < width; i++) half_add(output, projection + i * dim, meaning[i], dim);
            add(output, words, 1, dim);
            unit(output, dim);
        }
}

/* to = what a look at the tokens, (n, dim), adds to the query. */
static void attend(float *to, const Tower *tower, const Hop *hop, int64_t member, const float *query,
                   const float *standard_tokens, const float *bias, int64_t n) {
    int64_t dim = tower->dim, heads = tower->heads, part = dim / heads;
    float *tokens = memory(n * dim * sizeof *tokens), *shares = memory(n * sizeof *shares);
    float asked[dim], known[dim], spare[dim], mean[dim];
    for (int64_t i = 0; i < n; i++) affine(tokens + i * dim, standard_tokens + i * dim, hop->token_norm, member, dim);
    standard(spare, query, dim);
    affine(known, spare, hop->query_norm, member, dim);
    layer(asked, known, hop->asked, member, dim, dim);
    const half *keys = (const half *)hop->read.weight + member * 2 * dim * dim, *values = keys + dim * dim;
    const float *value_bias = hop->read.bias + member * 2 * dim + dim;
    for (int64_t head = 0; head < heads; head++) {
        const half *own_keys = keys + head * part * dim, *own_values = values + head * part * dim;
        if (n == 1) {
            memcpy(mean, tokens, dim * sizeof *mean);
        } else {
            memset(spare, 0, dim * sizeof *spare);
            for (int64_t i = 0; i < part; i++) half_add(spare, own_keys + i * dim, asked[head * part + i], dim);
            float top = -INFINITY, sum = 0;
            for (int64_t i = 0; i < n; i++) {
                shares[i] = dot(spare, tokens + i * dim, dim) / sqrtf(part) + bias[i];
                top = fmaxf(top, shares[i]);
            }
            for (int64_t i = 0; i < n; i++) sum += shares[i] = expf(shares[i] - top);
            memset(mean, 0, dim * sizeof *mean);
            for (int64_t i = 0; i < n; i++) add(mean, tokens + i * dim, shares[i] / sum, dim);
        }
        linear(known + head * part, own_values, value_bias + head * part, mean, part, dim);
    }
    layer(to, known, hop->found, member, dim, dim);
    free(tokens), free(shares);
}

/* What a user is known by, one by one: texts first. */
typedef struct {
    const float *output;
    float share, step;
} Token;

/* user = the vector that looking at the tokens gives */
static void look(const Tower *tower, const Token *known_by, int64_t n, int64_t n_texts, float *user) {
    int64_t dim = tower->dim;
    float *tokens = memory(n * dim * sizeof *tokens), *bias = memory(n * sizeof *bias);
    float mean[dim], query[dim], known[dim], spare[dim], inner[2 * dim], root = sqrtf(dim);
    for (int64_t i = 0; i < n; i++) bias[i] = logf(known_by[i].share) - tower->slope * known_by[i].step;
    for (int64_t member = 0; member < tower->members; member++) {
        memset(mean, 0, sizeof mean);
        for (int64_t i = 0; i < n; i++)
            add(mean, known_by[i].output + member * dim, known_by[i].share * powf(tower->decay, known_by[i].step), dim);
        unit(mean, dim);
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < dim; j++) known[j] = root * known_by[i].output[member * dim + j];
            layer(spare, known, i < n_texts ? tower->text_token : tower->item_token, member, dim, dim);
            standard(tokens + i * dim, spare, dim);
        }
        for (int64_t j = 0; j < dim; j++) known[j] = root * mean[j];
        layer(query, known, tower->query, member, dim, dim);
        for (int64_t number = 0; number < tower->hops; number++) {
            const Hop *hop = tower->hop + number;
            attend(spare, tower, hop, member, query, tokens, bias, n);
            add(query, spare, 1, dim);
            standard(spare, query, dim);
            affine(known, spare, hop->inner_norm, member, dim);
            layer(inner, known, hop->inner, member, 2 * dim, dim);
            gelus(inner, 2 * dim);
            layer(spare, inner, hop->outer, member, dim, 2 * dim);
            add(query, spare, 1, dim);
        }
        standard(spare, query, dim);
        affine(known, spare, tower->out_norm, member, dim);
        float *found = user + member * dim;
        layer(found, known, tower->out, member, dim, dim);
        add(found, mean, tower->residual[member], dim);
        unit(found, dim);
    }
    free(tokens), free(bias);
}

/* user = the tower's part; zeros where nothing is known */
static void tower_part(const Tower *tower, const User *known, const float *text_outputs, float *user) {
    int64_t width = tower->members * tower->dim, n_texts = known->n_texts, n_items = known->n_history, n = 0;
    Token tokens[2 * tower->longest];
    for (int64_t i = n_texts > tower->longest ? n_texts - tower->longest : 0; i < n_texts; i++)
        tokens[n++] = (Token){text_outputs + i * width, 1, n_texts - 1 - i};
    n_texts = n;
    for (int64_t i = n_items > tower->longest ? n_items - tower->longest : 0; i < n_items; i++)
        if (known->weights[i] > 0)
            tokens[n++] = (Token){known->item_tower + i * width, known->weights[i], n_items - 1 - i};
    if (n)
        look(tower, tokens, n, n_texts, user);
    else
        memset(user, 0, width * sizeof *user);
}

/* xᵀΣx of a symmetric Σ, of which half is read */
static float variance(const float *covariance, const float *x, int64_t n) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (x[i] == 0) continue;
        const float *row = covariance + i * n;
        sum += x[i] * (row[i] * x[i] + 2 * dot(row + i + 1, x + i + 1, n - i - 1));
    }
    return sum;
}

/* Scales a part to deviation 1 over the items, and writes it, weighted, into the user vector; whether it says anything. */
static int put(float *vector, float *part, const float *covariance, float weight, int64_t n) {
    float found = variance(covariance, part, n);
    scale(part, found > 1e-12f ? 1 / sqrtf(found) : 0, n);
    int says = 0;
    for (int64_t i = 0; i < n; i++) vector[i] = weight * part[i], says |= part[i] != 0;
    return says;
}

/* sum += faded rows, each by its weight where there are any */
static void add_faded(float *sum, const float *rows, const float *weights, int64_t n, float decay, int64_t width) {
    float faded = 1;
    for (int64_t i = n - 1; i >= 0 && faded > 1e-30f; i--, faded *= decay)
        add(sum, rows + i * width, weights ? faded * weights[i] : faded, width);
}

/* Makes a user's vector, and finds who wrote alike. */
void recall_ask(Ask *ask) {
    const Matching *matching = ask->matching;
    const User *user = &ask->user;
    Asked *asked = &ask->asked;
    int64_t d0 = matching->d0, d1 = matching->d1, d2 = matching->d2, width = matching->tower.text_dim;
    const half *projection = matching->projection;
    for (int64_t text = 0; text < user->n_texts; text++) {
        float *meaning = asked->text_meaning + text * d0;
        const float *read = user->texts + text * user->text_stride;
        memset(meaning, 0, d0 * sizeof *meaning);
        for (int64_t i = 0; i < width; i++) half_add(meaning, projection + i * d0, read[i], d0);
    }
    text_outputs(&matching->tower, user, asked->text_tower);
    memset(asked->zero_shot, 0, d0 * sizeof *asked->zero_shot);
    memset(asked->behaviour, 0, d1 * sizeof *asked->behaviour);
    add_faded(asked->zero_shot, asked->text_meaning, NULL, user->n_texts, matching->decay, d0);
    add_faded(asked->zero_shot, user->item_meaning, user->weights, user->n_history, matching->decay, d0);
    add_faded(asked->behaviour, user->item_behaviour, user->weights, user->n_history, matching->decay, d1);
    tower_part(&matching->tower, user, asked->text_tower, asked->tower);
    const float *weights = ask->weights;
    float *vector = asked->vector;
    asked->is_known = put(vector, asked->zero_shot, matching->covariances[0], weights[0], d0);
    asked->is_known |= put(vector + d0, asked->behaviour, matching->covariances[1], weights[1], d1);
    asked->is_known |= put(vector + d0 + d1, asked->tower, matching->covariances[2], weights[2], d2);
    asked->popularity[0] = 1;
    put(vector + d0 + d1 + d2, asked->popularity, matching->covariances[3], weights[3], 1);
    asked->n_alike = ask->writers ? recall_alike(ask->writers, asked->text_meaning, user->n_texts, d0, asked->alike,
                                                 asked->alike_weights)
                                  : 0;
}
