// Several hypotheses decoded at once, on what was encoded once.
//
// whisper.cpp can do this, but keeps it to itself inside `whisper_full`, which encodes anew each time and chooses tokens
// by itself. This file is whisper.cpp, compiled as it is, with some functions more. Each returns false, or 0,
// where whisper.cpp fails.

#include "whisper.cpp"

extern "C" {

void sprachpost_begin(whisper_state * state, int positions);
bool sprachpost_reserve(whisper_context * ctx, whisper_state * state, int count);
void sprachpost_fork(whisper_state * state, int from, int to);
bool sprachpost_decode(whisper_context * ctx, whisper_state * state, const whisper_token * tokens,
                       const int32_t * sequences, int count, int position, int threads);
int sprachpost_attend(whisper_context * ctx, whisper_state * state, const whisper_token * tokens, int count, int positions,
                      int threads);
void sprachpost_attention(whisper_state * state, float * weights);

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
