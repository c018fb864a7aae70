// Several hypotheses decoded at once, on what was encoded once.
//
// whisper.cpp can do this, but keeps it to itself inside `whisper_full`, which encodes anew each time and chooses tokens
// by itself. This file is whisper.cpp, compiled as it is, with some functions more, and with two operators of ggml that
// are done better at once or in another layout. Functions return false, or 0, where whisper.cpp fails.

#include <cstring>

#include "ggml-backend.h"
#include "kernels.h"

using sprachpost::Kernels, sprachpost::kernels;

// What whisper.cpp calls instead of ggml: attention of the encoder, which is a product of values with a softmax of
// products, is one operator; of a matrix that `sprachpost_prepare` has laid out anew, neither products nor rows are ggml's.

static bool has_plain_heads(const ggml_tensor * tensor) {
    return tensor->type == GGML_TYPE_F32 && tensor->ne[0] == Kernels::HEAD && tensor->nb[0] == sizeof(float) &&
           tensor->ne[3] == 1;
}

// Keys, queries and values as `Kernels::attend` wants them.
static bool can_attend(const ggml_tensor * keys, const ggml_tensor * queries, const ggml_tensor * values) {
    return kernels().attend && has_plain_heads(keys) && has_plain_heads(queries) && values->type == GGML_TYPE_F32 &&
           values->ne[1] == Kernels::HEAD && values->nb[1] == sizeof(float) && values->ne[3] == 1 &&
           values->ne[0] == keys->ne[1] && keys->ne[2] == queries->ne[2] && keys->ne[2] == values->ne[2];
}

// A matrix as `Kernels::interleave` and `Kernels::split` want it. `extra` says later what was done with it.
static bool can_be_laid_out(const ggml_tensor * matrix) {
    return kernels().products && matrix->type == GGML_TYPE_Q8_0 && ggml_is_contiguous(matrix) && matrix->ne[2] == 1 &&
           matrix->ne[3] == 1 && matrix->ne[0] % (ggml_blck_size(matrix->type) * Kernels::BLOCKS_AT_A_TIME) == 0 &&
           !matrix->extra && ggml_backend_buffer_is_host(matrix->buffer);
}

static ggml_tensor * attention(ggml_context * ctx, ggml_tensor * values, ggml_tensor * shares) {
    static const bool has_card = ggml_backend_dev_count() > 1;
    if (has_card || shares->op != GGML_OP_SOFT_MAX || shares->src[1] || shares->src[0]->op != GGML_OP_MUL_MAT) {
        return nullptr;
    }
    const ggml_tensor * scores = shares->src[0], * keys = scores->src[0];
    // In the encoder both are copied in another layout and type first; nobody needs the copies then.
    if (keys->op != GGML_OP_PERMUTE || keys->src[0]->op != GGML_OP_CPY || values->op != GGML_OP_CPY) {
        return nullptr;
    }
    ggml_tensor * all[] = { ggml_permute(ctx, keys->src[0]->src[0], 0, 2, 1, 3), scores->src[1], values->src[0] };
    if (!can_attend(all[0], all[1], all[2])) {
        return nullptr;
    }
    void * scale = nullptr;
    memcpy(&scale, shares->op_params, sizeof(float));
    return ggml_custom_4d(ctx, GGML_TYPE_F32, all[1]->ne[0], all[1]->ne[1], all[1]->ne[2], 1, all, 3,
                          kernels().attend, GGML_N_TASKS_MAX, scale);
}

// The `extra` of what was interleaved; that of the matrix of all tokens, which was split, is the number of one of them.
static char interleaved;

// Other memory than the processor's has uses of its own for `extra`.
static bool is_laid_out(const ggml_tensor * weights) {
    return weights->extra && weights->buffer && ggml_backend_buffer_is_host(weights->buffer);
}

static ggml_tensor * product(ggml_context * ctx, ggml_tensor * weights, ggml_tensor * rows) {
    if (is_laid_out(weights)) {
        ggml_tensor * both[] = { weights, rows };
        const ggml_custom_op_t operation = weights->extra == &interleaved ? kernels().products : kernels().scores;
        return ggml_custom_4d(ctx, GGML_TYPE_F32, weights->ne[1], rows->ne[1], 1, 1, both, 2, operation,
                              GGML_N_TASKS_MAX, weights->extra);
    }
    ggml_tensor * at_once = attention(ctx, weights, rows);
    return at_once ? at_once : ggml_mul_mat(ctx, weights, rows);
}

static ggml_tensor * rows_of(ggml_context * ctx, ggml_tensor * weights, ggml_tensor * numbers) {
    if (!is_laid_out(weights)) {
        return ggml_get_rows(ctx, weights, numbers);
    }
    ggml_tensor * both[] = { weights, numbers };
    return ggml_custom_4d(ctx, GGML_TYPE_F32, weights->ne[0], numbers->ne[0], 1, 1, both, 2, kernels().rows, 1, nullptr);
}

#define ggml_mul_mat product
#define ggml_get_rows rows_of
#include "whisper.cpp"
#undef ggml_mul_mat
#undef ggml_get_rows

extern "C" {

void sprachpost_prepare(whisper_context * ctx);
void sprachpost_begin(whisper_state * state, int positions);
bool sprachpost_reserve(whisper_context * ctx, whisper_state * state, int count);
void sprachpost_fork(whisper_state * state, int from, int to);
bool sprachpost_decode(whisper_context * ctx, whisper_state * state, const whisper_token * tokens,
                       const int32_t * sequences, int count, int position, int threads);
int sprachpost_attend(whisper_context * ctx, whisper_state * state, const whisper_token * tokens, int count, int positions,
                      int threads);
void sprachpost_attention(whisper_state * state, float * weights);

// To be called before anything is decoded: lays out weights as this machine reads them fastest.
void sprachpost_prepare(whisper_context * ctx) {
    ggml_tensor * vocabulary = ctx->model.d_te;
    if (can_be_laid_out(vocabulary)) {
        kernels().split(vocabulary);
        vocabulary->extra = (void *) (intptr_t) ctx->vocab.token_eot;
    }
    for (const whisper_layer_decoder & layer : ctx->model.layers_decoder) {
        // Keys and values of the audio are products with many rows, of the encoder.
        for (ggml_tensor * weights : { layer.attn_q_w, layer.attn_k_w, layer.attn_v_w, layer.attn_ln_1_w,
                                       layer.cross_attn_q_w, layer.cross_attn_ln_1_w, layer.mlp_0_w, layer.mlp_1_w }) {
            if (can_be_laid_out(weights)) {
                kernels().interleave(weights);
                weights->extra = &interleaved;
            }
        }
    }
}

// Forgets what was decoded. The encoder takes `positions` of 20 ms from now on.
void sprachpost_begin(whisper_state * state, int positions) {
    whisper_kv_cache_seq_rm(state->kv_self, -1, -1, -1);
    state->kv_self.head = 0;
    state->exp_n_audio_ctx = positions;
}

// Makes room for `count` sequences. Forgets what was decoded if there was less room.
bool sprachpost_reserve(whisper_context * ctx, whisper_state * state, int count) {
    if (state->kv_self_n_dec >= count) {
        return true;
    }
    // Sequences share what they have in common, so that they never need this much; but room for one token of each has
    // to be in one piece.
    const int room = GGML_PAD(ctx->model.hparams.n_text_ctx, 256) * (count + 1) / 2;
    whisper_kv_cache_free(state->kv_self);
    if (!whisper_kv_cache_init(state->kv_self, state->backends[0], ctx->itype, ctx->model.hparams.n_text_state,
                               ctx->model.hparams.n_text_layer, room)) {
        return false;
    }
    state->kv_self_n_dec = count;
    return true;
}

// Sequence `to` is from now on what sequence `from` is.
void sprachpost_fork(whisper_state * state, int from, int to) {
    whisper_kv_cache_seq_rm(state->kv_self, to, -1, -1);
    whisper_kv_cache_seq_cp(state->kv_self, from, to, -1, -1);
}

// Decodes one token of each of `count` sequences, all at the same position. Row i of the scores belongs to sequence i of
// the list.
bool sprachpost_decode(whisper_context * ctx, whisper_state * state, const whisper_token * tokens,
                       const int32_t * sequences, int count, int position, int threads) {
    whisper_batch & batch = state->batch;
    batch.n_tokens = count;
    for (int i = 0; i < count; i++) {
        batch.token[i] = tokens[i];
        batch.pos[i] = position;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = sequences[i];
        batch.logits[i] = 1;
    }
    return whisper_decode_internal(*ctx, *state, batch, threads, false, nullptr, nullptr);
}

// Decodes `count` tokens once more from the start, in a window of so many positions, and keeps where in the audio the
// decoder looked for each. Returns how many of its heads did that; 0 also if the model was not loaded for it.
int sprachpost_attend(whisper_context * ctx, whisper_state * state, const whisper_token * tokens, int count, int positions,
                      int threads) {
    if (!ctx->params.dtw_token_timestamps) {
        return 0;
    }
    whisper_kv_cache_seq_rm(state->kv_self, -1, -1, -1);
    state->kv_self.head = 0;
    state->aheads_cross_QKs = nullptr;
    whisper_batch_prep_legacy(state->batch, tokens, count, 0, 0);
    if (!whisper_decode_internal(*ctx, *state, state->batch, threads, true, nullptr, nullptr)) {
        return 0;
    }
    const ggml_tensor * kept = state->aheads_cross_QKs;
    const bool as_asked = kept && kept->type == GGML_TYPE_F32 && ggml_is_contiguous(kept) && kept->ne[0] == count &&
                          kept->ne[1] == positions;
    return as_asked ? (int) kept->ne[2] : 0;
}

// Copies what `sprachpost_attend` kept: for each head, for each position, one weight for each token.
void sprachpost_attention(whisper_state * state, float * weights) {
    ggml_backend_tensor_get(state->aheads_cross_QKs, weights, 0, ggml_nbytes(state->aheads_cross_QKs));
}

}
