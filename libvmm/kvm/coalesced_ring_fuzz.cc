// SPDX-License-Identifier: Apache-2.0
// The input is the page that the kernel shares; nothing in it may make the
// drain read outside the page or run on.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "libvmm/kvm/coalesced_ring.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kPage = 4096;
  // On the heap, so that AddressSanitizer sees its ends.
  auto* const page = static_cast<std::byte*>(std::aligned_alloc(kPage, kPage));
  std::memset(page, 0, kPage);
  if (size != 0) std::memcpy(page, data, std::min(size, kPage));
  size_t calls = 0;
  const size_t count = libvmm::internal::DrainCoalescedRing(
      {page, kPage}, [&](const libvmm::CoalescedWrite& write) {
        ++calls;
        if (write.bytes().size() > 8) std::abort();
      });
  if (count != calls || count > kPage / 24) std::abort();
  std::free(page);
  return 0;
}
