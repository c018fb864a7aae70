// Products of bfloat16: what many.cpp and attention.cpp are made of. In tiles where the processor has them (AMX), else in
// registers of 512 bits (AVX-512 BF16). Both read the same blocks, laid out for tiles.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "interleaved.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__linux__)
#define SPRACHPOST_TILES

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sprachpost {
namespace {

using bf16 = uint16_t;

// A tile has 16 rows of 32 bfloat16 values, or of 16 sums in single precision.
constexpr int64_t TILE = 16;
constexpr int64_t DEPTH = 32;
constexpr int64_t TILE_VALUES = TILE * DEPTH;
// Two by two tiles of sums are kept at a time.
constexpr int64_t BLOCK = 2 * TILE;

inline __m512i rounded(__m512 low, __m512 high) {
    return (__m512i) _mm512_cvtne2ps_pbh(high, low);
}

// A block's values, as `widen` reads them, minus an offset.
template <typename Widen>
__m512i scaled(const block_q8_0 & block, __m512i offset, Widen widen) {
    const __m512 scale = _mm512_set1_ps(_cvtsh_ss(block.d));
    const auto part = [&](const int8_t * values) {
        const __m512i wide = _mm512_sub_epi32(widen(_mm_loadu_si128((const __m128i *) values)), offset);
        return _mm512_mul_ps(_mm512_cvtepi32_ps(wide), scale);
    };
    return rounded(part(block.qs), part(block.qs + 16));
}

// 32 values of a row as bfloat16, zeros behind its end.
inline __m512i read(const Matrix & matrix, int64_t row, int64_t column) {
    const int64_t left = matrix.columns - column;
    const __mmask32 mask = left >= DEPTH ? 0xffffffffu : (1u << left) - 1;
    const __mmask16 low = mask & 0xffff, high = mask >> 16;
    switch (matrix.type) {
        case GGML_TYPE_F32: {
            const float * values = (const float *) matrix.data + row * matrix.stride + column;
            return rounded(_mm512_maskz_loadu_ps(low, values), _mm512_maskz_loadu_ps(high, values + 16));
        }
        case GGML_TYPE_F16: {
            const uint16_t * values = (const uint16_t *) matrix.data + row * matrix.stride + column;
            return rounded(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(low, values)),
                           _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(high, values + 16)));
        }
        case GGML_TYPE_BF16:
            return _mm512_maskz_loadu_epi16(mask, (const uint16_t *) matrix.data + row * matrix.stride + column);
        case Matrix::INTERLEAVED: {
            const int64_t number = row * matrix.stride + column / QK8_0, lane = number % GROUP_BLOCKS;
            const char * group = (const char *) matrix.data + (number - lane) * sizeof(block_q8_0);
            block_q8_0 block;
            std::memcpy(&block.d, group + lane * sizeof(ggml_half), sizeof(ggml_half));
            for (int64_t part = 0; part < GROUP_REGISTERS; part++) {
                std::memcpy(block.qs + 4 * part, group + GROUP_SCALE_BYTES + part * sizeof(Lanes) + 4 * lane, 4);
            }
            return scaled(block, _mm512_set1_epi32(WEIGHT_OFFSET), [](__m128i values) { return _mm512_cvtepu8_epi32(values); });
        }
        default: // GGML_TYPE_Q8_0
            return scaled(((const block_q8_0 *) matrix.data)[row * matrix.stride + column / QK8_0], _mm512_setzero_si512(),
                          [](__m128i values) { return _mm512_cvtepi8_epi32(values); });
    }
}

// Transposes 16 by 16 pairs of bfloat16 values: what were 16 rows of weights becomes a tile's second operand.
inline void transpose(__m512i (&rows)[TILE]) {
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
inline void pack_weights(const Matrix & weights, int64_t first, int64_t end, int64_t rows, int64_t depth, bf16 * packed) {
    for (int64_t row = first; row < end; row += TILE) {
        for (int64_t column = 0; column < depth; column += DEPTH, packed += TILE_VALUES) {
            __m512i pairs[TILE];
            for (int64_t i = 0; i < TILE; i++) {
                pairs[i] = row + i < rows ? read(weights, row + i, column) : _mm512_setzero_si512();
            }
            transpose(pairs);
            for (int64_t i = 0; i < TILE; i++) {
                _mm512_store_si512((__m512i *) packed + i, pairs[i]);
            }
        }
    }
}

// Reads `count` rows from `first` on; zeros up to 32 of them.
inline void read_panel(const Matrix & rows, int64_t first, int64_t count, int64_t depth, bf16 * panel) {
    for (int64_t row = 0; row < BLOCK; row++) {
        for (int64_t column = 0; column < depth; column += DEPTH) {
            const __m512i values = row < count ? read(rows, first + row, column) : _mm512_setzero_si512();
            _mm512_store_si512((__m512i *) (panel + row * depth + column), values);
        }
    }
}

#if defined(SPRACHPOST_TILES)

inline bool has_tiles() {
    constexpr unsigned AMX_BF16 = 1u << 22, AMX_TILE = 1u << 24;
    unsigned a, b, c, features = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &features) && (features & AMX_BF16) && (features & AMX_TILE);
}

// Linux hands out tiles on request only, once for the process.
inline bool tiles_are_permitted() {
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
    static const bool permitted = has_tiles() && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
    return permitted;
}

// Has the processor's tiles set up as long as it lives.
class Tiles {
public:
    Tiles() {
        if (tiles_are_permitted()) {
            struct alignas(64) {
                uint8_t palette = 1, start_row = 0, reserved[14] = {};
                uint16_t row_bytes[16] = { 64, 64, 64, 64, 64, 64, 64, 64 };
                uint8_t rows[16] = { 16, 16, 16, 16, 16, 16, 16, 16 };
            } config;
            _tile_loadconfig(&config);
        }
    }
    ~Tiles() {
        if (tiles_are_permitted()) {
            _tile_release();
        }
    }
    Tiles(const Tiles &) = delete;
    Tiles & operator=(const Tiles &) = delete;
};

inline void multiply_in_tiles(const bf16 * panel, const bf16 * packed, int64_t depth, float * sums, int64_t stride) {
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

#else

// Nothing has to be set up.
class Tiles {
public:
    Tiles() {}
    ~Tiles() {}
};

#endif

// So many rows by 32 rows of weights: their 16 sums stay in registers, beside two of weights.
constexpr int64_t ROWS_AT_A_TIME = 8;

inline void multiply_rows(const bf16 * panel, const bf16 * packed, int64_t depth, float * sums, int64_t stride) {
    __m512 left[ROWS_AT_A_TIME], right[ROWS_AT_A_TIME];
    for (int64_t row = 0; row < ROWS_AT_A_TIME; row++) {
        left[row] = right[row] = _mm512_setzero_ps();
    }
    const bf16 * next = packed + depth * TILE;
    for (int64_t column = 0; column < depth; column += 2) {
        const __m512bh low = (__m512bh) _mm512_load_si512(packed + column * TILE);
        const __m512bh high = (__m512bh) _mm512_load_si512(next + column * TILE);
        for (int64_t row = 0; row < ROWS_AT_A_TIME; row++) {
            int32_t pair;
            std::memcpy(&pair, panel + row * depth + column, sizeof(pair));
            const __m512bh both = (__m512bh) _mm512_set1_epi32(pair);
            left[row] = _mm512_dpbf16_ps(left[row], both, low);
            right[row] = _mm512_dpbf16_ps(right[row], both, high);
        }
    }
    for (int64_t row = 0; row < ROWS_AT_A_TIME; row++) {
        _mm512_storeu_ps(sums + row * stride, left[row]);
        _mm512_storeu_ps(sums + row * stride + TILE, right[row]);
    }
}

// Two by two tiles of sums: 32 rows of `panel` by 32 rows of weights. Wants `Tiles` to be alive.
inline void multiply_block(const bf16 * panel, const bf16 * packed, int64_t depth, float * sums, int64_t stride) {
#if defined(SPRACHPOST_TILES)
    if (tiles_are_permitted()) {
        multiply_in_tiles(panel, packed, depth, sums, stride);
        return;
    }
#endif
    for (int64_t row = 0; row < BLOCK; row += ROWS_AT_A_TIME) {
        multiply_rows(panel + row * depth, packed, depth, sums + row * stride, stride);
    }
}

} // namespace
} // namespace sprachpost
