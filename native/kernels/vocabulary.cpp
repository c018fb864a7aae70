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
#include "interleaved.h"
#include "quants.h"

namespace sprachpost {
namespace {

// Scores that are lower than the highest by more than this are left as they are: a thousandth of its probability at
// most, and many times what four bits are wrong by (0.5 to 0.9 in the mean, 3 at most).
constexpr float NEAR = 8.0f;
// Rows of the matrix that share the work of adding up lanes.
constexpr int64_t AT_A_TIME = 16;
// Hypotheses of one step.
constexpr int64_t ROWS_MAX = 6;
// Weights are asked for this far ahead: the processor's own guess ends with every page. Lower halves lie here and there,
// and are asked for so many rows ahead.
constexpr int64_t PREFETCH_BYTES = 4096;
constexpr int64_t PREFETCH_NEAR = 8;

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

    // Of a value in a row: which half byte of either half it is. The blocks lie side by side; registers hold one after
    // the other of theirs in their lower half bytes, and the next in their upper ones.
    static int64_t byte(int64_t value) {
        const int64_t block = value / QK8_0, place = value % QK8_0;
        return block / GROUP_BLOCKS * GROUP_BLOCKS * HALF_BYTES + place / 8 * sizeof(Lanes) + block % GROUP_BLOCKS * 4 +
               place % 4;
    }

    static int shift(int64_t value) {
        return value % 8 < 4 ? 0 : 4;
    }
};

Split split_of(const ggml_tensor * matrix) {
    return { (uint8_t *) matrix->data, matrix->ne[1], matrix->ne[0] / QK8_0 };
}

// Half bytes h of one row times eight-bit values: by lanes, the sum over 2h minus the offset that the values are corrected
// for, for ROWS rows of values. As many bytes from `next` on will be wanted soon.
template <int ROWS>
void multiply_halves(const uint8_t * halves, const uint8_t * scales, const uint8_t * next, int64_t blocks,
                     const EightBitRows & values, const Buffer<Lanes> & corrections, __m512 (&totals)[ROWS]) {
    const __m512i mask = _mm512_set1_epi8(0x1e);
    const int64_t groups = blocks / GROUP_BLOCKS;
    for (int64_t group = 0; group < groups; group++, scales += GROUP_SCALE_BYTES) {
        __m512i products[ROWS];
        for (int r = 0; r < ROWS; r++) {
            products[r] = corrections[r * groups + group];
        }
        for (int64_t part = 0; part < GROUP_REGISTERS; part += 2, halves += sizeof(Lanes), next += sizeof(Lanes)) {
            _mm_prefetch((const char *) next, _MM_HINT_T1);
            const __m512i packed = _mm512_loadu_si512(halves);
            const __m512i low = _mm512_and_si512(_mm512_slli_epi16(packed, 1), mask);
            const __m512i high = _mm512_and_si512(_mm512_srli_epi16(packed, 3), mask);
            for (int r = 0; r < ROWS; r++) {
                const int64_t at = (r * groups + group) * GROUP_REGISTERS + part;
                products[r] = _mm512_dpbusd_epi32(products[r], low, values.values[at]);
                products[r] = _mm512_dpbusd_epi32(products[r], high, values.values[at + 1]);
            }
        }
        const __m512 weight_scales = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) scales));
        for (int r = 0; r < ROWS; r++) {
            const __m512 both =
                _mm512_mul_ps(weight_scales, _mm512_load_ps(&values.scales[r * blocks + group * GROUP_BLOCKS]));
            totals[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[r]), both, totals[r]);
        }
    }
}

// A weight is 16 u + l - 128, of half bytes u and l. With 8 for l, which is its middle, that is 8 (2u - 15); what is
// missing then is (2l - 16) / 2.
constexpr int UPPER_OFFSET = 15, LOWER_OFFSET = 16;
constexpr float UPPER_FACTOR = 8.0f, LOWER_FACTOR = 0.5f;

// Which of 16 rows from `group` on are always taken as a whole.
__mmask16 exact_lanes(int64_t group, int64_t first_exact) {
    const int64_t before = std::clamp(first_exact - group, int64_t(0), AT_A_TIME);
    return (__mmask16) (0xffffu << before);
}

// Scores of the tokens from `first` to `end` by the upper halves, for ROWS rows of values, and the highest of each.
template <int ROWS>
void score_roughly(const Split & split, int64_t first, int64_t end, const EightBitRows & values,
                   const Buffer<Lanes> & upper, float * scores, float (&highest)[ROWS]) {
    std::fill_n(highest, ROWS, -INFINITY);
    for (int64_t group = first; group < end; group += AT_A_TIME) {
        const int64_t here = std::min(AT_A_TIME, end - group);
        __m512 sums[ROWS][AT_A_TIME] = {};
        for (int64_t i = 0; i < here; i++) {
            const uint8_t * scales = split.scales(group + i), * halves = split.upper(group + i);
            _mm_prefetch((const char *) scales + PREFETCH_BYTES, _MM_HINT_T1);
            __m512 totals[ROWS] = {};
            multiply_halves(halves, scales, halves + PREFETCH_BYTES, split.blocks, values, upper, totals);
            for (int r = 0; r < ROWS; r++) {
                sums[r][i] = totals[r];
            }
        }
        const __mmask16 lanes = (__mmask16) ((1u << here) - 1);
        for (int r = 0; r < ROWS; r++) {
            const __m512 rough = _mm512_mul_ps(add_up(sums[r]), _mm512_set1_ps(UPPER_FACTOR));
            _mm512_mask_storeu_ps(scores + r * split.rows + group, lanes, rough);
            highest[r] = std::max(highest[r], _mm512_mask_reduce_max_ps(lanes, rough));
        }
    }
}

// Lists the tokens of which the lower halves count, too; returns the list's end.
template <int ROWS>
int32_t * list_near(const Split & split, int64_t first, int64_t end, int64_t first_exact, const float * scores,
                    const float (&highest)[ROWS], int32_t * near) {
    for (int64_t group = first; group < end; group += AT_A_TIME) {
        __mmask16 taken = exact_lanes(group, first_exact);
        const __mmask16 lanes = end - group >= AT_A_TIME ? 0xffff : (1u << (end - group)) - 1;
        for (int r = 0; r < ROWS; r++) {
            const __m512 rough = _mm512_maskz_loadu_ps(lanes, scores + r * split.rows + group);
            taken |= _mm512_cmp_ps_mask(rough, _mm512_set1_ps(highest[r] - NEAR), _CMP_GT_OQ);
        }
        for (uint32_t left = taken & lanes; left != 0; left &= left - 1) {
            *near++ = (int32_t) group + __builtin_ctz(left);
        }
    }
    return near;
}

// Scores of the tokens from `first` to `end`, for ROWS rows of values.
template <int ROWS>
void score(const Split & split, int64_t first, int64_t end, int64_t first_exact, const EightBitRows & values,
           const Buffer<Lanes> & upper, const Buffer<Lanes> & lower, float * scores) {
    static thread_local Buffer<int32_t> memory;
    float highest[ROWS];
    score_roughly(split, first, end, values, upper, scores, highest);
    int32_t * near = memory.at_least(end - first);
    const int32_t * near_end = list_near(split, first, end, first_exact, scores, highest, near);
    for (; near < near_end; near++) {
        const int32_t next = near_end - near > PREFETCH_NEAR ? near[PREFETCH_NEAR] : *near;
        _mm_prefetch((const char *) split.scales(next), _MM_HINT_T1);
        __m512 totals[ROWS] = {};
        multiply_halves(split.lower(*near), split.scales(*near), split.lower(next), split.blocks, values, lower, totals);
        for (int r = 0; r < ROWS; r++) {
            scores[r * split.rows + *near] += LOWER_FACTOR * _mm512_reduce_add_ps(totals[r]);
        }
    }
}

using Score = void (*)(const Split &, int64_t, int64_t, int64_t, const EightBitRows &, const Buffer<Lanes> &,
                       const Buffer<Lanes> &, float *);
constexpr Score SCORE[ROWS_MAX] = { score<1>, score<2>, score<3>, score<4>, score<5>, score<6> };

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
        values.take(blocks, count, split.blocks);
        values.correct_for(UPPER_OFFSET, upper);
        values.correct_for(LOWER_OFFSET, lower);
        SCORE[count - 1](split, first, end, (int64_t) (intptr_t) first_exact, values, upper, lower,
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
