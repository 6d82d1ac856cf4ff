// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_MEMORY_PAGE_RELEASER_H_
#define LIBVMM_MEMORY_PAGE_RELEASER_H_

#include <cstdint>

#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// Gives pages that a guest does not need back to the host. A balloon and free
// page reporting end here; an embedder that has memory of its own kind behind
// the guest implements it.
//
// Thread-safety: thread-safe.
// Errors: none. Memory that cannot be given back stays as it is.
class PageReleaser {
 public:
  virtual ~PageReleaser() = default;

  // Gives back those host pages that lie wholly in `range`, which is the
  // guest's and may be anything, also no memory. Each byte of it is as before
  // afterwards, or zero; pages that were given back are marked dirty. Returns
  // how many bytes were given back.
  virtual uint64_t Release(GuestMemory& memory, GpaRange range) = 0;

 protected:
  PageReleaser() = default;
  PageReleaser(const PageReleaser&) = default;
  PageReleaser& operator=(const PageReleaser&) = default;
};

// Gives back what the kernel can take: anonymous pages (MADV_DONTNEED) and
// pages of shared files, memfds and guest_memfds, for all who have them mapped
// (FALLOC_FL_PUNCH_HOLE). Left as they are: read-only regions; files mapped
// copy-on-write, whose pages would come back with the file's bytes; external
// memory, of which only the embedder knows what it is. Of hugetlb memory what
// is counted may be more than what was given back.
//
// Thread-safety: thread-safe, and has no state.
// Errors: what the kernel refuses to take stays, and is not counted.
// Cost: a system call for each region that the range touches.
class HostPageReleaser final : public PageReleaser {
 public:
  uint64_t Release(GuestMemory& memory, GpaRange range) override;
};

}  // namespace libvmm

#endif  // LIBVMM_MEMORY_PAGE_RELEASER_H_
