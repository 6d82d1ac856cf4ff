// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_FAKE_MMU_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_FAKE_MMU_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>

#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/sandbox/address_space/stale_entries.h"
#include "libvmm/sandbox/address_space/user_access.h"

namespace libvmm::sandbox::testing {

// User code's view of memory, as the worst MMU would give it: a shadow-paging
// one that sees no table the host writes. It remembers every present entry that
// it ever used or that stood beside one, by the place of the entry, and every
// translation, and only forgets what Rewrite is told of. Walks are those of the
// manual, written with literal bits.
class FakeMmu {
 public:
  FakeMmu(GuestMemory& memory, Gpa root) : memory_(memory), root_(root) {}

  // What user code gets at `gva`: a place in memory, or nothing for a page
  // fault.
  std::optional<Gpa> Access(Gva gva, AccessKind kind);

  // Ring 0 writes these entries again and reloads CR3.
  void Rewrite(std::span<const StaleRange> ranges);

  // The first thing in any table that no CPU or policy allows; empty if all is
  // well.
  [[nodiscard]] const char* complaint() const { return complaint_; }

 private:
  struct Page {
    Gpa gpa;
    bool writable = true;
    bool executable = true;
  };
  std::optional<Page> Walk(Gva gva);
  uint64_t Entry(Gpa place);

  GuestMemory& memory_;
  Gpa root_;
  std::map<uint64_t, uint64_t> entries_;
  std::map<uint64_t, Page> translations_;
  const char* complaint_ = "";
};

}  // namespace libvmm::sandbox::testing

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_FAKE_MMU_H_
