// The decoder's last step, the scores of all tokens, in half its time.
//
// It is a product with the largest matrix of the model, as many rows as there are tokens, and bound by reading it. So
// the matrix is split when the model is loaded: the upper four bits of all weights first, the lower four behind them, in
// as much memory as before. The upper half tells roughly what every token scores. The lower half is read for the tokens
// that come near the highest score, and for those that are no text (languages, times), whose sum counts.
//
// What comes near has the score that whole weights give; what does not, one as good as with weights of four bits.

//
// Needs AVX-512 with VNNI.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ggml-cpu-impl.h"
#include "lanes.h"
#include "quants.h"

namespace sprachpost {
namespace {

// Scores that are lower than the highest by more than this are left as they are: a thousandth of its probability at
// most, and many times what four bits are wrong by (0.5 to 0.9 in the mean, 3 at most).
constexpr float NEAR = 8.0f;
// Blocks whose scales fill a register; a row has a multiple of them.
constexpr int64_t BLOCKS_AT_A_TIME = Kernels::BLOCKS_AT_A_TIME;
// Four blocks of half bytes fill a register.
constexpr int64_t BLOCKS_A_REGISTER = 4;
constexpr int64_t LANES = 16;
// Hypotheses of one step.
constexpr int64_t ROWS_MAX = 6;
// Weights are asked for this far ahead: the processor's own guess ends with every page.
constexpr int64_t PREFETCH_BYTES = 4096;

// Where the halves of a matrix lie. The scales are with the upper ones.
struct Split {
    uint8_t * data;
    int64_t rows, blocks;

    static constexpr int64_t SCALE_BYTES = sizeof(ggml_half), HALF_BYTES = QK8_0 / 2;

    int64_t upper_stride() const {
        return blocks * (SCALE_BYTES + HALF_BYTES);
    }

    uint8_t * scales(int64_t row) const {
        return data + row * upper_stride();
    }

    uint8_t * upper(int64_t row) const {
        return scales(row) + blocks * SCALE_BYTES;
    }

    uint8_t * lower(int64_t row) const {
        return data + rows * upper_stride() + row * blocks * HALF_BYTES;
    }

    // Of a value in a row: which half byte of either half it is. Registers hold 64 values in their lower half bytes, and
    // the next 64 in their upper ones.
    static int64_t byte(int64_t value) {
        return value / 128 * 64 + value % 64;
    }

    static int shift(int64_t value) {
        return value % 128 < 64 ? 0 : 4;
    }
};

Split split_of(const ggml_tensor * matrix) {
    return { (uint8_t *) matrix->data, matrix->ne[1], matrix->ne[0] / QK8_0 };
}

// Half bytes h of one row times eight-bit values: the sum over 2h minus the offset that the values are corrected for,
// for ROWS rows of values, times `factor`.
template <int ROWS>
void multiply_halves(const uint8_t * halves, const uint8_t * scales, int64_t blocks, const EightBitRows & values,
                     const Buffer<Lanes> & corrections, float factor, float * sums) {
    const __m512i mask = _mm512_set1_epi8(0x1e);
    const __m512i second = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512 totals[ROWS];
    for (int r = 0; r < ROWS; r++) {
        totals[r] = _mm512_setzero_ps();
    }
    for (int64_t b = 0; b < blocks; b += BLOCKS_AT_A_TIME) {
        const __m256i words = _mm256_loadu_si256((const __m256i *) (scales + b * Split::SCALE_BYTES));
        const __m512 weight_scales = _mm512_cvtph_ps(words);
        __m512 both[ROWS];
        for (int r = 0; r < ROWS; r++) {
            both[r] = _mm512_mul_ps(weight_scales, _mm512_loadu_ps(&values.scales[r * blocks + b]));
        }
        for (int64_t part = 0; part < BLOCKS_AT_A_TIME; part += BLOCKS_A_REGISTER) {
            const uint8_t * at = halves + (b + part) * Split::HALF_BYTES;
            _mm_prefetch((const char *) at + PREFETCH_BYTES, _MM_HINT_T1);
            const __m512i packed = _mm512_loadu_si512(at);
            const __m512i doubled[2] = { _mm512_and_si512(_mm512_slli_epi16(packed, 1), mask),
                                         _mm512_and_si512(_mm512_srli_epi16(packed, 3), mask) };
            for (int half = 0; half < 2; half++) {
                const __m512i which = _mm512_add_epi32(second, _mm512_set1_epi32(part + 2 * half));
                for (int r = 0; r < ROWS; r++) {
                    const int64_t register_of = (r * blocks + b + part) / 2 + half;
                    const __m512i product =
                        _mm512_dpbusd_epi32(corrections[register_of], doubled[half], values.values[register_of]);
                    totals[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product),
                                                _mm512_permutexvar_ps(which, both[r]), totals[r]);
                }
            }
        }
    }
    _mm512_mask_storeu_ps(sums, (1u << ROWS) - 1, _mm512_mul_ps(add_up(totals), _mm512_set1_ps(factor)));
}

using MultiplyHalves = void (*)(const uint8_t *, const uint8_t *, int64_t, const EightBitRows &,
                                const Buffer<Lanes> &, float, float *);
constexpr MultiplyHalves MULTIPLY_HALVES[ROWS_MAX] = { multiply_halves<1>, multiply_halves<2>, multiply_halves<3>,
                                                       multiply_halves<4>, multiply_halves<5>, multiply_halves<6> };

// A weight is 16 u + l - 128, of half bytes u and l. With 8 for l, which is its middle, that is 8 (2u - 15); what is
// missing then is (2l - 16) / 2.
constexpr int UPPER_OFFSET = 15, LOWER_OFFSET = 16;
constexpr float UPPER_FACTOR = 8.0f, LOWER_FACTOR = 0.5f;

// Which of 16 rows from `group` on are always taken as a whole.
__mmask16 exact_lanes(int64_t group, int64_t first_exact) {
    const int64_t before = std::clamp(first_exact - group, int64_t(0), LANES);
    return (__mmask16) (0xffffu << before);
}

// Scores of the tokens from `first` to `end`, for `count` rows of values.
void score(const Split & split, int64_t first, int64_t end, int64_t first_exact, const EightBitRows & values,
           const Buffer<Lanes> & upper, const Buffer<Lanes> & lower, int64_t count, float * scores) {
    float highest[ROWS_MAX];
    std::fill_n(highest, ROWS_MAX, -INFINITY);
    for (int64_t i = first; i < end; i++) {
        float sums[ROWS_MAX];
        MULTIPLY_HALVES[count - 1](split.upper(i), split.scales(i), split.blocks, values, upper, UPPER_FACTOR, sums);
        for (int64_t r = 0; r < count; r++) {
            scores[r * split.rows + i] = sums[r];
            highest[r] = std::max(highest[r], sums[r]);
        }
    }
    for (int64_t group = first; group < end; group += LANES) {
        __mmask16 near = exact_lanes(group, first_exact);
        const __mmask16 lanes = end - group >= LANES ? 0xffff : (1u << (end - group)) - 1;
        for (int64_t r = 0; r < count; r++) {
            const __m512 rough = _mm512_maskz_loadu_ps(lanes, scores + r * split.rows + group);
            near |= _mm512_cmp_ps_mask(rough, _mm512_set1_ps(highest[r] - NEAR), _CMP_GT_OQ);
        }
        for (uint32_t left = near & lanes; left != 0; left &= left - 1) {
            const int64_t i = group + __builtin_ctz(left);
            float sums[ROWS_MAX];
            MULTIPLY_HALVES[count - 1](split.lower(i), split.scales(i), split.blocks, values, lower, LOWER_FACTOR, sums);
            for (int64_t r = 0; r < count; r++) {
                scores[r * split.rows + i] += sums[r];
            }
        }
    }
}

} // namespace

void split(ggml_tensor * matrix) {
    const Split split = split_of(matrix);
    Buffer<block_q8_0> copy;
    const block_q8_0 * block = copy.at_least(split.rows * split.blocks);
    std::memcpy((void *) block, matrix->data, ggml_nbytes(matrix));
    std::memset(matrix->data, 0, ggml_nbytes(matrix));
    for (int64_t row = 0; row < split.rows; row++) {
        for (int64_t b = 0; b < split.blocks; b++, block++) {
            std::memcpy(split.scales(row) + b * Split::SCALE_BYTES, &block->d, Split::SCALE_BYTES);
            for (int64_t i = 0; i < QK8_0; i++) {
                const int64_t value = b * QK8_0 + i;
                const uint8_t shifted = (uint8_t) (block->qs[i] + 128);
                split.upper(row)[Split::byte(value)] |= (shifted >> 4) << Split::shift(value);
                split.lower(row)[Split::byte(value)] |= (shifted & 15) << Split::shift(value);
            }
        }
    }
}

void scores(ggml_tensor * scores, int thread, int threads, void * first_exact) {
    const Split split = split_of(scores->src[0]);
    const ggml_tensor * rows = scores->src[1];
    static thread_local Buffer<block_q8_0> memory;
    static thread_local EightBitRows values;
    static thread_local Buffer<Lanes> upper, lower;
    const int64_t share = (split.rows + threads - 1) / threads;
    const int64_t first = std::min(split.rows, thread * share), end = std::min(split.rows, first + share);
    for (int64_t j = 0; j < rows->ne[1]; j += ROWS_MAX) {
        const int64_t count = std::min(ROWS_MAX, rows->ne[1] - j);
        block_q8_0 * blocks = memory.at_least(count * split.blocks);
        for (int64_t r = 0; r < count; r++) {
            const float * row = (const float *) ((const char *) rows->data + (j + r) * rows->nb[1]);
            quantize_row_q8_0(row, blocks + r * split.blocks, split.blocks * QK8_0);
        }
        values.take(blocks, split.blocks, count, split.blocks);
        values.correct_for(UPPER_OFFSET, upper);
        values.correct_for(LOWER_OFFSET, lower);
        score(split, first, end, (int64_t) (intptr_t) first_exact, values, upper, lower, count,
              (float *) scores->data + j * split.rows);
    }
}

void rows(ggml_tensor * rows, int thread, int threads, void *) {
    const Split split = split_of(rows->src[0]);
    const ggml_tensor * tokens = rows->src[1];
    for (int64_t j = thread; j < tokens->ne[0]; j += threads) {
        const int64_t row = ((const int32_t *) tokens->data)[j];
        float * values = (float *) ((char *) rows->data + j * rows->nb[1]);
        for (int64_t value = 0; value < split.blocks * QK8_0; value++) {
            ggml_half scale;
            std::memcpy(&scale, split.scales(row) + value / QK8_0 * Split::SCALE_BYTES, sizeof(scale));
            const int64_t byte = Split::byte(value);
            const int shift = Split::shift(value);
            const int upper = split.upper(row)[byte] >> shift & 15, lower = split.lower(row)[byte] >> shift & 15;
            values[value] = _cvtsh_ss(scale) * (16 * upper + lower - 128);
        }
    }
}

} // namespace sprachpost
