// Where ggml keeps weights and what it computes from them: in large pages, where the system has any.
//
// A product reads all weights of a layer, some megabytes; in pages of 4 KiB the processor looks up a thousand addresses
// for them each time. ggml's buffers come from here, and go back as all others do, by `free`.

#include <cstdlib>

#include "ggml-impl.h"

#ifdef __linux__
#include <sys/mman.h>

// What x86-64 and most ARM systems have as the size of a large page. Of smaller buffers too much would be left empty.
static constexpr size_t LARGE_PAGE = 2 << 20;
static constexpr size_t LARGE = 2 * LARGE_PAGE;

static void * large_pages(size_t size) {
    void * memory = nullptr;
    if (posix_memalign(&memory, LARGE_PAGE, size) != 0) {
        return nullptr;
    }
    // Advice: a system that has large pages for all, or for nobody, does as it would without. Only whole ones are asked for,
    // as none is to be shared with what lies behind.
    madvise(memory, size / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
    return memory;
}
#endif

extern "C" void * sprachpost_aligned_malloc(size_t size) {
#ifdef __linux__
    if (size >= LARGE) {
        if (void * memory = large_pages(size)) {
            return memory;
        }
    }
#endif
    return ggml_aligned_malloc(size);
}
