// Products of many rows (the encoder) in bfloat16: both sides are rounded as they are read, whatever their type, and
// multiplied in tiles or registers.
//
// Needs AVX-512 with BF16 and VNNI.

#include "tiles.h"

namespace sprachpost {
namespace {

// Weights are packed in portions that stay in the second-level cache while all rows pass by: 1 MiB.
constexpr int64_t PORTION_VALUES = 1 << 19;

} // namespace

static_assert(Kernels::WEIGHTS_MIN == BLOCK && Kernels::MANY_ROWS_MIN <= BLOCK, "a block is mostly filled");

void multiply_many(Share share, const Matrix & weights, int64_t m, const Matrix & rows, int64_t n, float * C,
                   int64_t ldc) {
    static thread_local Buffer<bf16> packed_memory, panel_memory;
    const int64_t depth = round_up(weights.columns, DEPTH);
    const int64_t portion = std::min(std::max(PORTION_VALUES / depth / BLOCK, int64_t(1)) * BLOCK, round_up(m, BLOCK));
    bf16 * packed = packed_memory.at_least(portion * depth);
    bf16 * panel = panel_memory.at_least(BLOCK * depth);
    const Tiles tiles;
    for (int64_t first = 0; first < m; first += portion) {
        const int64_t end = std::min(first + portion, round_up(m, BLOCK));
        pack_weights(weights, first, end, m, depth, packed);
        for (int64_t j = share.thread * BLOCK; j < n; j += share.threads * BLOCK) {
            const int64_t rows_here = std::min(BLOCK, n - j);
            read_panel(rows, j, rows_here, depth, panel);
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
}

} // namespace sprachpost
