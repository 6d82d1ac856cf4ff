// SPDX-License-Identifier: Apache-2.0
// Pages that the kernel does not take back: they stay, and are not counted.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/memory/page_releaser.h"
#include "libvmm/testing/fault_check.h"

namespace libvmm::testing {
namespace {

constexpr uint8_t kFilling = 0x5a;

absl::Status ReleaseOnePage(const MemoryRegion& region) {
  const auto memory = GuestMemory::Create();
  LIBVMM_RETURN_IF_ERROR(memory->Add(Gpa(0), region));
  const uint64_t page = PageSize();
  if (!memory->Fill({Gpa(0), page}, std::byte{kFilling})) {
    return absl::InternalError("no memory");
  }
  const uint64_t released = HostPageReleaser().Release(*memory, {Gpa(0), page});
  const uint8_t seen = memory->Load<uint8_t>(Gpa(0)).value_or(1);
  return Expect(
      released == 0 ? seen == kFilling : released == page && seen == 0,
      "what is counted is zero, what is not is as before");
}

TEST(PageReleaserFaultsTest, Anonymous) {
  Check(FaultScenario("HostPageReleaser, anonymous")
            .Survives("madvise", {}, "the pages stay"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(
              const MemoryRegion region, WithoutFaults([] {
                return MemoryRegion::Anonymous({.size = PageSize()});
              }));
          return ReleaseOnePage(region);
        });
}

TEST(PageReleaserFaultsTest, Memfd) {
  Check(FaultScenario("HostPageReleaser, memfd")
            .Survives("fallocate", {}, "the pages stay"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(
              const MemoryRegion region, WithoutFaults([] {
                return MemoryRegion::Memfd({.size = PageSize()});
              }));
          return ReleaseOnePage(region);
        });
}

}  // namespace
}  // namespace libvmm::testing
