// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/heap_count.h"

#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

#include "libvmm/testing/sanitizers.h"

#if LIBVMM_SANITIZED

extern "C" size_t __sanitizer_get_current_allocated_bytes();

namespace libvmm::testing {

const bool kHeapCallsCounted = false;

HeapUse HeapUse::Now() {
  return {.bytes =
              static_cast<int64_t>(__sanitizer_get_current_allocated_bytes())};
}

uint64_t ThreadHeapCalls() { return 0; }

}  // namespace libvmm::testing

#else

// glibc's own doors, which stay when a program brings a malloc.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* block);
}

namespace libvmm::testing {
namespace {

// Not constructed at run time: malloc is called before any constructor.
constinit std::atomic<int64_t> live_bytes{0};
constinit std::atomic<int64_t> live_blocks{0};
constinit thread_local uint64_t thread_calls = 0;

void* Took(void* block) {
  ++thread_calls;
  if (block != nullptr) {
    live_bytes.fetch_add(static_cast<int64_t>(::malloc_usable_size(block)),
                         std::memory_order_relaxed);
    live_blocks.fetch_add(1, std::memory_order_relaxed);
  }
  return block;
}

void Gives(void* block) {
  ++thread_calls;
  if (block == nullptr) return;
  live_bytes.fetch_sub(static_cast<int64_t>(::malloc_usable_size(block)),
                       std::memory_order_relaxed);
  live_blocks.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace

const bool kHeapCallsCounted = true;

HeapUse HeapUse::Now() {
  return {.bytes = live_bytes.load(std::memory_order_relaxed),
          .blocks = live_blocks.load(std::memory_order_relaxed)};
}

uint64_t ThreadHeapCalls() { return thread_calls; }

}  // namespace libvmm::testing

using libvmm::testing::Gives;
using libvmm::testing::Took;

extern "C" {

void* malloc(size_t size) noexcept { return Took(__libc_malloc(size)); }

void* calloc(size_t count, size_t size) noexcept {
  return Took(__libc_calloc(count, size));
}

void* realloc(void* block, size_t size) noexcept {
  const size_t before = block != nullptr ? ::malloc_usable_size(block) : 0;
  void* const moved = __libc_realloc(block, size);
  if (block == nullptr) return Took(moved);
  ++libvmm::testing::thread_calls;
  // A failed realloc leaves the block as it is, unless it was to be freed.
  if (moved == nullptr && size != 0) return nullptr;
  libvmm::testing::live_bytes.fetch_sub(static_cast<int64_t>(before),
                                        std::memory_order_relaxed);
  libvmm::testing::live_blocks.fetch_sub(1, std::memory_order_relaxed);
  return moved != nullptr ? Took(moved) : nullptr;
}

void* memalign(size_t alignment, size_t size) noexcept {
  return Took(__libc_memalign(alignment, size));
}

void* aligned_alloc(size_t alignment, size_t size) noexcept {
  return Took(__libc_memalign(alignment, size));
}

int posix_memalign(void** block, size_t alignment, size_t size) noexcept {
  void* const got = Took(__libc_memalign(alignment, size));
  if (got == nullptr) return ENOMEM;
  *block = got;
  return 0;
}

void free(void* block) noexcept {
  Gives(block);
  __libc_free(block);
}

}  // extern "C"

#endif
