// Matrix products for speech recognition, on processors with tiles of bfloat16 (AMX) and 512 bits.
//
// ggml offers every product to `llamafile_sgemm` first. The build gives ggml's own function of that name the name
// `ggml_cpu_sgemm`, and this one stands before it. It takes two kinds of product:
//
// * many rows (the encoder, and attention within it): both sides are rounded to bfloat16 as they are read, whatever
//   their type, and multiplied in tiles. ggml has no kernel for tiles that whisper's sizes fit.
// * few rows (the decoder: one token, or one for each hypothesis) by eight-bit weights: bound by reading the weights,
//   so they are read once for all rows, in the order in which they lie.
//
// Everything else is ggml's. C, as ggml sees it: C[n][m] = B[n][k] · A[m][k], with A the weights.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"
#include "ggml-cpu-impl.h"
#include "ggml.h"
#include "llamafile/sgemm.h"

extern "C" bool ggml_cpu_sgemm(const ggml_compute_params * params, int64_t m, int64_t n, int64_t k, const void * A,
                           int64_t lda, const void * B, int64_t ldb, void * C, int64_t ldc, int Atype, int Btype,
                           int Ctype);

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__AVX512VNNI__) && \
    defined(__linux__)

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

// A tile has 16 rows of 32 bfloat16 values, or of 16 sums in single precision.
constexpr int64_t TILE = 16;
constexpr int64_t DEPTH = 32;
constexpr int64_t TILE_VALUES = TILE * DEPTH;
// Two by two tiles of sums are kept at a time.
constexpr int64_t BLOCK = 2 * TILE;
// Weights are packed in portions that stay in the second-level cache while all rows pass by: 1 MiB.
constexpr int64_t PORTION_VALUES = 1 << 19;
// Below this many rows, tiles would stay empty.
constexpr int64_t TILED_ROWS_MIN = 16;
// Weights are asked for this far ahead: the processor's own guess ends with every page.
constexpr int64_t PREFETCH_BYTES = 4096;

using bf16 = uint16_t;

// Linux hands out tiles on request only, once for the process.
bool tiles_are_permitted() {
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
    static const bool permitted = syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
    return permitted;
}

void configure_tiles() {
    struct alignas(64) {
        uint8_t palette = 1, start_row = 0, reserved[14] = {};
        uint16_t row_bytes[16] = { 64, 64, 64, 64, 64, 64, 64, 64 };
        uint8_t rows[16] = { 16, 16, 16, 16, 16, 16, 16, 16 };
    } config;
    _tile_loadconfig(&config);
}

int64_t round_up(int64_t value, int64_t step) {
    return (value + step - 1) / step * step;
}

// A matrix of some type, read by rows.
struct Matrix {
    const void * data;
    int64_t stride; // from row to row, in elements, or in blocks where values come in blocks
    int64_t columns;
    int type;

    static bool is_readable(int type) {
        return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16 || type == GGML_TYPE_Q8_0;
    }

    // 32 values of a row as bfloat16, zeros behind its end.
    __m512i read(int64_t row, int64_t column) const {
        const int64_t left = columns - column;
        const __mmask32 mask = left >= DEPTH ? 0xffffffffu : (1u << left) - 1;
        const __mmask16 low = mask & 0xffff, high = mask >> 16;
        switch (type) {
            case GGML_TYPE_F32: {
                const float * values = (const float *) data + row * stride + column;
                return rounded(_mm512_maskz_loadu_ps(low, values), _mm512_maskz_loadu_ps(high, values + 16));
            }
            case GGML_TYPE_F16: {
                const uint16_t * values = (const uint16_t *) data + row * stride + column;
                return rounded(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(low, values)),
                               _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(high, values + 16)));
            }
            case GGML_TYPE_BF16:
                return _mm512_maskz_loadu_epi16(mask, (const uint16_t *) data + row * stride + column);
            default: { // GGML_TYPE_Q8_0
                const block_q8_0 & block = ((const block_q8_0 *) data)[row * stride + column / QK8_0];
                const __m512 scale = _mm512_set1_ps(_cvtsh_ss(block.d));
                const auto part = [&](const int8_t * values) {
                    const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *) values));
                    return _mm512_mul_ps(_mm512_cvtepi32_ps(wide), scale);
                };
                return rounded(part(block.qs), part(block.qs + 16));
            }
        }
    }

    static __m512i rounded(__m512 low, __m512 high) {
        return (__m512i) _mm512_cvtne2ps_pbh(high, low);
    }
};

// Transposes 16 by 16 pairs of bfloat16 values: what were 16 rows of weights becomes a tile's second operand.
void transpose(__m512i (&rows)[TILE]) {
    __m512i a[TILE], b[TILE];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        a[i] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
        a[i + 4] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
        a[i + 8] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
        a[i + 12] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        const int k = i % 4 + i / 4 * 4;
        rows[k] = _mm512_shuffle_i32x4(a[k], a[k + 8], 0x88);
        rows[k + 8] = _mm512_shuffle_i32x4(a[k], a[k + 8], 0xdd);
    }
}

// Packs rows `first` to `end` of the weights: for every 16 rows one tile after the other along the columns.
void pack_weights(const Matrix & weights, int64_t first, int64_t end, int64_t rows, int64_t depth, bf16 * packed) {
    for (int64_t row = first; row < end; row += TILE) {
        for (int64_t column = 0; column < depth; column += DEPTH, packed += TILE_VALUES) {
            __m512i pairs[TILE];
            for (int64_t i = 0; i < TILE; i++) {
                pairs[i] = row + i < rows ? weights.read(row + i, column) : _mm512_setzero_si512();
            }
            transpose(pairs);
            for (int64_t i = 0; i < TILE; i++) {
                _mm512_store_si512((__m512i *) packed + i, pairs[i]);
            }
        }
    }
}

// Two by two tiles of sums: 32 rows of `panel` by 32 rows of weights.
void multiply_block(const bf16 * panel, const bf16 * packed, int64_t depth, float * sums, int64_t stride) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    const bf16 * next = packed + depth * TILE;
    for (int64_t column = 0; column < depth; column += DEPTH) {
        _tile_loadd(4, panel + column, depth * sizeof(bf16));
        _tile_loadd(6, packed + column * TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, next + column * TILE, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, panel + TILE * depth + column, depth * sizeof(bf16));
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, stride * sizeof(float));
    _tile_stored(1, sums + TILE, stride * sizeof(float));
    _tile_stored(2, sums + TILE * stride, stride * sizeof(float));
    _tile_stored(3, sums + TILE * stride + TILE, stride * sizeof(float));
}

// A register in memory.
struct alignas(64) Lanes {
    uint8_t bytes[64];

    operator __m512i() const {
        return _mm512_load_si512(bytes);
    }
};

// Memory that a thread keeps from one product to the next.
bf16 * buffer(std::vector<Lanes> & memory, int64_t values) {
    memory.resize(std::max<size_t>(memory.size(), values / DEPTH));
    return (bf16 *) memory.data();
}

void multiply_tiled(const ggml_compute_params * params, const Matrix & weights, int64_t m, const Matrix & rows,
                    int64_t n, float * C, int64_t ldc) {
    static thread_local std::vector<Lanes> packed_memory, panel_memory;
    const int64_t depth = round_up(weights.columns, DEPTH);
    const int64_t portion = std::min(std::max(PORTION_VALUES / depth / BLOCK, int64_t(1)) * BLOCK, round_up(m, BLOCK));
    bf16 * packed = buffer(packed_memory, portion * depth);
    bf16 * panel = buffer(panel_memory, BLOCK * depth);
    configure_tiles();
    for (int64_t first = 0; first < m; first += portion) {
        const int64_t end = std::min(first + portion, round_up(m, BLOCK));
        pack_weights(weights, first, end, m, depth, packed);
        for (int64_t j = params->ith * BLOCK; j < n; j += params->nth * BLOCK) {
            const int64_t rows_here = std::min(BLOCK, n - j);
            for (int64_t row = 0; row < BLOCK; row++) {
                for (int64_t column = 0; column < depth; column += DEPTH) {
                    const __m512i values = row < rows_here ? rows.read(j + row, column) : _mm512_setzero_si512();
                    _mm512_store_si512((__m512i *) (panel + row * depth + column), values);
                }
            }
            for (int64_t i = first; i < std::min(end, m); i += BLOCK) {
                const bf16 * part = packed + (i - first) * depth;
                const int64_t columns_here = std::min(BLOCK, m - i);
                float * sums = C + j * ldc + i;
                if (rows_here == BLOCK && columns_here == BLOCK) {
                    multiply_block(panel, part, depth, sums, ldc);
                    continue;
                }
                alignas(64) float whole[BLOCK * BLOCK];
                multiply_block(panel, part, depth, whole, BLOCK);
                for (int64_t row = 0; row < rows_here; row++) {
                    std::memcpy(sums + row * ldc, whole + row * BLOCK, columns_here * sizeof(float));
                }
            }
        }
    }
    _tile_release();
}

// Products of a few rows with eight-bit weights, ROWS rows at a time. Two blocks of 32 values fill a register. The
// instruction wants one side without a sign: 128 is added to the weights, and subtracted again as 128 times the sum of
// the row's values, which is known beforehand.
template <int ROWS>
void multiply_few(const block_q8_0 * weights, int64_t lda, int64_t first, int64_t end, int64_t blocks,
                  const Lanes * values, const Lanes * corrections, const float * scales, float * C, int64_t ldc) {
    const __m512i sign = _mm512_set1_epi8((char) 0x80);
    const __m512i offsets = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(sizeof(block_q8_0)));
    const __m512i halves = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    for (int64_t i = first; i < end; i++) {
        const block_q8_0 * row = weights + i * lda;
        __m512 sums[ROWS];
        for (int r = 0; r < ROWS; r++) {
            sums[r] = _mm512_setzero_ps();
        }
        for (int64_t b = 0; b < blocks; b += 16) {
            // The scales of 16 blocks; each is the first two bytes of its block.
            const __m512i words = _mm512_i32gather_epi32(offsets, (const int *) (row + b), 1);
            const __m512 weight_scales = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
            __m512 both[ROWS];
            for (int r = 0; r < ROWS; r++) {
                both[r] = _mm512_mul_ps(weight_scales, _mm512_loadu_ps(scales + r * blocks + b));
            }
            for (int64_t pair = 0; pair < 8; pair++) {
                const block_q8_0 * two = row + b + 2 * pair;
                _mm_prefetch((const char *) two + PREFETCH_BYTES, _MM_HINT_T1);
                const __m256i low = _mm256_loadu_si256((const __m256i *) two[0].qs);
                const __m256i high = _mm256_loadu_si256((const __m256i *) two[1].qs);
                const __m512i unsigned_weights =
                    _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1), sign);
                const __m512i which = _mm512_add_epi32(halves, _mm512_set1_epi32(2 * pair));
                for (int r = 0; r < ROWS; r++) {
                    const int64_t at = (r * blocks + b) / 2 + pair;
                    const __m512i product = _mm512_dpbusd_epi32(corrections[at], unsigned_weights, values[at]);
                    sums[r] =
                        _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), _mm512_permutexvar_ps(which, both[r]), sums[r]);
                }
            }
        }
        for (int r = 0; r < ROWS; r++) {
            C[r * ldc + i] = _mm512_reduce_add_ps(sums[r]);
        }
    }
}

// Products of a few rows with weights in half precision: attention to what was said, and to the audio. Four rows of
// weights at a time keep the sums independent.
void multiply_few_halves(const ggml_compute_params * params, const uint16_t * weights, int64_t lda, int64_t m,
                         int64_t k, const float * rows, int64_t ldb, int64_t n, float * C, int64_t ldc) {
    constexpr int64_t AT_A_TIME = 4;
    const int64_t share = round_up((m + params->nth - 1) / params->nth, AT_A_TIME);
    const int64_t end = std::min(m, (params->ith + 1) * share);
    for (int64_t i = params->ith * share; i < end; i += AT_A_TIME) {
        for (int64_t j = 0; j < n; j++) {
            __m512 sums[AT_A_TIME] = {};
            for (int64_t column = 0; column < k; column += 16) {
                const __mmask16 lanes = k - column >= 16 ? 0xffff : (1u << (k - column)) - 1;
                const __m512 values = _mm512_maskz_loadu_ps(lanes, rows + j * ldb + column);
                for (int64_t r = 0; r < AT_A_TIME; r++) {
                    // Behind the last row its own values are read again, and not written.
                    const uint16_t * halves = weights + std::min(i + r, end - 1) * lda + column;
                    sums[r] = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, halves)), values, sums[r]);
                }
            }
            for (int64_t r = 0; r < std::min(AT_A_TIME, end - i); r++) {
                C[j * ldc + i + r] = _mm512_reduce_add_ps(sums[r]);
            }
        }
    }
}

using MultiplyFew = void (*)(const block_q8_0 *, int64_t, int64_t, int64_t, int64_t, const Lanes *, const Lanes *,
                             const float *, float *, int64_t);
constexpr int64_t FEW_ROWS_MAX = 6;
constexpr MultiplyFew MULTIPLY_FEW[FEW_ROWS_MAX] = { multiply_few<1>, multiply_few<2>, multiply_few<3>,
                                                     multiply_few<4>, multiply_few<5>, multiply_few<6> };

void multiply_few_rows(const ggml_compute_params * params, const block_q8_0 * weights, int64_t lda, int64_t m,
                       int64_t blocks, const block_q8_0 * rows, int64_t ldb, int64_t n, float * C, int64_t ldc) {
    static thread_local std::vector<Lanes> values, corrections;
    static thread_local std::vector<float> scales;
    const int64_t share = (m + params->nth - 1) / params->nth;
    const int64_t first = std::min(m, params->ith * share), end = std::min(m, first + share);
    for (int64_t j = 0; j < n; j += FEW_ROWS_MAX) {
        const int64_t count = std::min(FEW_ROWS_MAX, n - j);
        values.resize(count * blocks / 2);
        corrections.resize(count * blocks / 2);
        scales.resize(count * blocks);
        for (int64_t r = 0; r < count; r++) {
            for (int64_t b = 0; b < blocks; b += 2) {
                const block_q8_0 * two = rows + (j + r) * ldb + b;
                const __m512i both = _mm512_inserti64x4(
                    _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *) two[0].qs)),
                    _mm256_loadu_si256((const __m256i *) two[1].qs), 1);
                const __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8((char) 0x80), both);
                _mm512_store_si512(&values[(r * blocks + b) / 2], both);
                _mm512_store_si512(&corrections[(r * blocks + b) / 2], _mm512_sub_epi32(_mm512_setzero_si512(), sum));
                scales[r * blocks + b] = _cvtsh_ss(two[0].d);
                scales[r * blocks + b + 1] = _cvtsh_ss(two[1].d);
            }
        }
        MULTIPLY_FEW[count - 1](weights, lda, first, end, blocks, values.data(), corrections.data(), scales.data(),
                                C + j * ldc, ldc);
    }
}

} // namespace

extern "C" bool llamafile_sgemm(const ggml_compute_params * params, int64_t m, int64_t n, int64_t k, const void * A,
                                int64_t lda, const void * B, int64_t ldb, void * C, int64_t ldc, int Atype, int Btype,
                                int Ctype) {
    const bool is_blocked = Atype == GGML_TYPE_Q8_0;
    if (Ctype == GGML_TYPE_F32 && n >= TILED_ROWS_MIN && m >= BLOCK && Matrix::is_readable(Atype) &&
        Matrix::is_readable(Btype) && (Btype != GGML_TYPE_Q8_0 || is_blocked) && tiles_are_permitted()) {
        const int64_t columns = is_blocked ? k * QK8_0 : k;
        multiply_tiled(params, { A, lda, columns, Atype }, m, { B, ldb, columns, Btype }, n, (float *) C, ldc);
        return true;
    }
    if (Ctype == GGML_TYPE_F32 && is_blocked && Btype == GGML_TYPE_Q8_0 && n < TILED_ROWS_MIN && k % 16 == 0) {
        multiply_few_rows(params, (const block_q8_0 *) A, lda, m, k, (const block_q8_0 *) B, ldb, n, (float *) C, ldc);
        return true;
    }
    if (Ctype == GGML_TYPE_F32 && Atype == GGML_TYPE_F16 && Btype == GGML_TYPE_F32 && n < TILED_ROWS_MIN) {
        multiply_few_halves(params, (const uint16_t *) A, lda, m, k, (const float *) B, ldb, n, (float *) C, ldc);
        return true;
    }
    return ggml_cpu_sgemm(params, m, n, k, A, lda, B, ldb, C, ldc, Atype, Btype, Ctype);
}

#else

extern "C" bool llamafile_sgemm(const ggml_compute_params * params, int64_t m, int64_t n, int64_t k, const void * A,
                                int64_t lda, const void * B, int64_t ldb, void * C, int64_t ldc, int Atype, int Btype,
                                int Ctype) {
    return ggml_cpu_sgemm(params, m, n, k, A, lda, B, ldb, C, ldc, Atype, Btype, Ctype);
}

#endif
