// Attention of the encoder, in one go.
//
// As three operators it writes a score for each pair of positions, for each head: 72 MB for the whole window, several
// times read and written. Here 32 queries at a time are taken through all of it, and their scores stay in the
// second-level cache (after Dao et al., "FlashAttention", 2022; short as whisper's window is, a row of scores need not be
// divided).
//
// Needs AVX-512 with BF16 and VNNI.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ggml-cpu-impl.h"
#include "tiles.h"
#include "vec.h"

namespace sprachpost {
namespace {

// Values of a head: two blocks of columns.
constexpr int64_t HEAD = Kernels::HEAD;

// One head of keys, queries or values: a row of single precision for each position.
Matrix head_of(const ggml_tensor * tensor, int64_t head, int64_t position_stride) {
    const char * data = (const char *) tensor->data + head * tensor->nb[2];
    return { data, position_stride / (int64_t) sizeof(float), HEAD, GGML_TYPE_F32 };
}

// Packs values, which are multiplied from the other side than weights are: for every 16 columns one tile after the other
// along the positions, zeros behind the last.
void pack_values(const Matrix & values, int64_t positions, int64_t depth, bf16 * packed) {
    const __m512i pairs = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                           5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const auto read = [&](int64_t position, int64_t column) {
        const __mmask16 lanes = position < positions ? 0xffff : 0;
        const float * row = (const float *) values.data + std::min(position, positions - 1) * values.stride;
        return _mm512_maskz_loadu_ps(lanes, row + column);
    };
    for (int64_t column = 0; column < HEAD; column += TILE) {
        for (int64_t position = 0; position < depth; position += 2, packed += 2 * TILE) {
            const __m512i two = rounded(read(position, column), read(position + 1, column));
            _mm512_store_si512(packed, _mm512_permutexvar_epi16(pairs, two));
        }
    }
}

// Turns `count` scores into their share of a sum, which is returned: what they have to be divided by. Zeros up to `depth`.
float soft_max(const float * scores, int64_t count, int64_t depth, float scale, bf16 * shares) {
    const __m512 lowest = _mm512_set1_ps(-INFINITY), factor = _mm512_set1_ps(scale);
    const auto read = [&](int64_t i) {
        const __mmask16 lanes = count - i >= TILE ? 0xffff : count > i ? (1u << (count - i)) - 1 : 0;
        return _mm512_mask_loadu_ps(lowest, lanes, scores + i);
    };
    __m512 highest = lowest;
    for (int64_t i = 0; i < count; i += TILE) {
        highest = _mm512_max_ps(highest, read(i));
    }
    const __m512 subtracted = _mm512_mul_ps(factor, _mm512_set1_ps(_mm512_reduce_max_ps(highest)));
    __m512 sums = _mm512_setzero_ps();
    for (int64_t i = 0; i < depth; i += DEPTH) {
        const auto power = [&](int64_t at) { return ggml_v_expf(_mm512_fmsub_ps(read(at), factor, subtracted)); };
        const __m512 low = power(i), high = power(i + TILE);
        sums = _mm512_add_ps(sums, _mm512_add_ps(low, high));
        _mm512_store_si512(shares + i, rounded(low, high));
    }
    return _mm512_reduce_add_ps(sums);
}

void attend(const Matrix & keys, const Matrix & queries, const Matrix & values, int64_t positions, int64_t count,
            float scale, float * result) {
    static thread_local Buffer<bf16> memory[4];
    static thread_local Buffer<float> scores_memory;
    const int64_t depth = round_up(positions, BLOCK);
    bf16 * packed_keys = memory[0].at_least(depth * HEAD), * packed_values = memory[1].at_least(depth * HEAD);
    bf16 * panel = memory[2].at_least(BLOCK * HEAD), * shares = memory[3].at_least(BLOCK * depth);
    float * scores = scores_memory.at_least(BLOCK * depth);
    pack_weights(keys, 0, depth, positions, HEAD, packed_keys);
    pack_values(values, positions, depth, packed_values);
    for (int64_t first = 0; first < count; first += BLOCK) {
        const int64_t rows = std::min(BLOCK, count - first);
        read_panel(queries, first, rows, HEAD, panel);
        for (int64_t position = 0; position < depth; position += BLOCK) {
            multiply_block(panel, packed_keys + position * HEAD, HEAD, scores + position, depth);
        }
        float sums[BLOCK];
        for (int64_t row = 0; row < BLOCK; row++) {
            sums[row] = soft_max(scores + row * depth, positions, depth, scale, shares + row * depth);
        }
        alignas(64) float sought[BLOCK * HEAD];
        for (int64_t column = 0; column < HEAD; column += BLOCK) {
            multiply_block(shares, packed_values + column * depth, depth, sought + column, HEAD);
        }
        for (int64_t row = 0; row < rows; row++) {
            const __m512 share = _mm512_set1_ps(1.0f / sums[row]);
            for (int64_t column = 0; column < HEAD; column += TILE) {
                const __m512 sum = _mm512_load_ps(sought + row * HEAD + column);
                _mm512_storeu_ps(result + (first + row) * HEAD + column, _mm512_mul_ps(sum, share));
            }
        }
    }
}

} // namespace

void attend(ggml_tensor * result, int thread, int threads, void * scale_bits) {
    const ggml_tensor * keys = result->src[0], * queries = result->src[1], * values = result->src[2];
    float scale;
    std::memcpy(&scale, &scale_bits, sizeof(scale));
    const Tiles tiles;
    for (int64_t head = thread; head < keys->ne[2]; head += threads) {
        attend(head_of(keys, head, keys->nb[1]), head_of(queries, head, queries->nb[1]),
               head_of(values, head, values->nb[0]), keys->ne[1], queries->ne[1], scale,
               (float *) ((char *) result->data + head * result->nb[2]));
    }
}

} // namespace sprachpost
