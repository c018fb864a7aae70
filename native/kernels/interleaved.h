// Rows of eight-bit numbers whose blocks lie side by side, 16 at a time, so that each lane of a register belongs to one
// block.
//
// In ggml's layout (q8_0) a block of 32 numbers lies in one piece behind its scale, and what a register's lanes come to
// has to be scaled for every two blocks. Here the scales of 16 blocks come first, then 8 registers of which lane i holds
// 4 numbers of block i: products are added up over whole blocks as whole numbers, and scaled once for all 16.
//
// The instruction for products wants one side without a sign: weights are stored with an offset of 128, which is
// subtracted again as so many times the sum of the other side's block, known beforehand.
#pragma once

#include <cstring>

#include "lanes.h"

namespace sprachpost {
namespace {

constexpr int64_t GROUP_BLOCKS = Kernels::BLOCKS_AT_A_TIME;
constexpr int64_t GROUP_REGISTERS = QK8_0 / 4;
constexpr int64_t GROUP_SCALE_BYTES = GROUP_BLOCKS * sizeof(ggml_half);
constexpr int64_t GROUP_BYTES = GROUP_BLOCKS * sizeof(block_q8_0);
static_assert(GROUP_BLOCKS * 4 == sizeof(Lanes), "a register has a lane for every block");
static_assert(GROUP_SCALE_BYTES + GROUP_REGISTERS * sizeof(Lanes) == GROUP_BYTES, "nothing is lost");

// Added to weights, by flipping their sign, so that they have none.
constexpr int WEIGHT_OFFSET = 128;

// The registers of 16 blocks.
inline void lay_side_by_side(const block_q8_0 * blocks, Lanes * registers) {
    for (int64_t i = 0; i < GROUP_REGISTERS; i++) {
        for (int64_t b = 0; b < GROUP_BLOCKS; b++) {
            std::memcpy(registers[i].bytes + 4 * b, blocks[b].qs + 4 * i, 4);
        }
    }
}

// The other side of the products: some rows, which are to be multiplied with many rows of weights.
struct EightBitRows {
    Buffer<Lanes> values;
    // For each block.
    Buffer<float> scales;
    // Of all rows.
    int64_t groups = 0;

    // `blocks` is a multiple of 16.
    void take(const block_q8_0 * rows, int64_t count, int64_t blocks) {
        groups = count * blocks / GROUP_BLOCKS;
        Lanes * to = values.at_least(groups * GROUP_REGISTERS);
        float * scale = scales.at_least(count * blocks);
        for (int64_t group = 0; group < groups; group++, rows += GROUP_BLOCKS) {
            lay_side_by_side(rows, to + group * GROUP_REGISTERS);
            for (int64_t b = 0; b < GROUP_BLOCKS; b++) {
                *scale++ = _cvtsh_ss(rows[b].d);
            }
        }
    }

    // For each block, minus `offset` times its sum. `offset` is at most 255.
    void correct_for(int offset, Buffer<Lanes> & corrections) const {
        Lanes * to = corrections.at_least(groups);
        for (int64_t group = 0; group < groups; group++) {
            __m512i sums = _mm512_setzero_si512();
            for (int64_t i = 0; i < GROUP_REGISTERS; i++) {
                sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8((char) offset), values[group * GROUP_REGISTERS + i]);
            }
            _mm512_store_si512(to + group, _mm512_sub_epi32(_mm512_setzero_si512(), sums));
        }
    }
};

} // namespace
} // namespace sprachpost
