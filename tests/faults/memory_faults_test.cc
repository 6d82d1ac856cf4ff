// SPDX-License-Identifier: Apache-2.0
// Every system call of libvmm's guest memory failing, one at a time.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/fault_check.h"

namespace libvmm::testing {
namespace {

constexpr uint64_t kSize = 1 << 21;

TEST(MemoryFaultsTest, AnonymousRegion) {
  Check(FaultScenario("MemoryRegion::Anonymous")
            .Survives("madvise", {EINTR, EINVAL},
                      "interrupted: again; no huge pages: none is kNever"),
        [] {
          return MemoryRegion::Anonymous(
                     {.size = kSize,
                      .huge_pages = MemoryRegion::HugePages::kNever,
                      .no_reserve = true})
              .status();
        });
  Check(FaultScenario("MemoryRegion::Anonymous, prefault")
            .GivesCode("madvise", {EINVAL}, absl::StatusCode::kUnimplemented,
                       "this kernel lacks the advice")
            .Survives("madvise", {EINTR}, "again"),
        [] {
          return MemoryRegion::Anonymous(
                     {.size = kSize,
                      .huge_pages = MemoryRegion::HugePages::kAlways,
                      .prefault = true})
              .status();
        });
}

TEST(MemoryFaultsTest, MemfdRegion) {
  Check(
      FaultScenario("MemoryRegion::Memfd")
          .GivesCode("madvise", {EINVAL}, absl::StatusCode::kUnimplemented,
                     "this kernel lacks the advice")
          .MaySurvive("madvise", {EINTR}, "again")
          .MaySurvive("ftruncate", {EINTR}, "again"),
      [] {
        return MemoryRegion::Memfd({.size = kSize, .prefault = true}).status();
      });
}

UniqueFd FileOfSize(off_t size) {
  UniqueFd fd(::memfd_create("backing", MFD_CLOEXEC));
  return ::ftruncate(fd.get(), size) == 0 ? std::move(fd) : UniqueFd();
}

TEST(MemoryFaultsTest, FileRegion) {
  for (const bool shared : {false, true}) {
    Check(FaultScenario(shared ? "MemoryRegion::File, shared"
                               : "MemoryRegion::File, private")
              .GivesCode("madvise", {EINVAL}, absl::StatusCode::kUnimplemented,
                         "this kernel lacks the advice")
              .Survives("madvise", {EINTR}, "again"),
          [shared]() -> absl::Status {
            UniqueFd fd = WithoutFaults([] { return FileOfSize(kSize); });
            return MemoryRegion::File(
                       std::move(fd),
                       {.size = kSize, .shared = shared, .prefault = true})
                .status();
          });
  }
}

TEST(MemoryFaultsTest, GuestMemory) {
  Check(
      FaultScenario("GuestMemory, dirty tracking")
          .MaySurvive("membarrier", {}, "full fences instead"),
      []() -> absl::Status {
        const std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
        LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region,
                                MemoryRegion::Anonymous({.size = kSize}));
        LIBVMM_RETURN_IF_ERROR(memory->Add(Gpa(0), region));
        memory->TrackAllDirty();
        LIBVMM_RETURN_IF_ERROR(
            Expect(memory->Store<uint32_t>(Gpa(0x1000), 5), "stored"));
        std::array<uint64_t, kSize / 4096 / 64> words{};
        LIBVMM_RETURN_IF_ERROR(Expect(
            memory->Regions()[0].dirty->Collect(words) == 1, "one dirty page"));
        LIBVMM_RETURN_IF_ERROR(memory->Remove(Gpa(0)));
        memory->Reclaim();
        return absl::OkStatus();
      });
}

TEST(MemoryFaultsTest, GuestMemoryFileTransfer) {
  Check(
      FaultScenario("GuestMemory, file transfer")
          .MaySurvive("membarrier", {}, "full fences instead")
          .MaySurvive("preadv", {EINTR}, "resumed")
          .MaySurvive("pwritev", {EINTR}, "resumed")
          .MaySurvive("pread", {EINTR}, "resumed")
          .MaySurvive("pwrite", {EINTR}, "resumed")
          .MaySurvive("readv", {EINTR}, "resumed")
          .MaySurvive("writev", {EINTR}, "resumed"),
      []() -> absl::Status {
        const std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
        UniqueFd file;
        LIBVMM_RETURN_IF_ERROR(WithoutFaults([&]() -> absl::Status {
          file = FileOfSize(kSize);
          LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region,
                                  MemoryRegion::Anonymous({.size = kSize}));
          return memory->Add(Gpa(0), region);
        }));
        const GpaRange range{Gpa(0x800), 0x3000};
        const FilePosition start{.fd = file.get(), .offset = 0};
        const FilePosition current{.fd = file.get(), .offset = {}};
        LIBVMM_RETURN_IF_ERROR(
            memory->WriteToFile(range, start).ToStatus("pwritev", range.size));
        LIBVMM_RETURN_IF_ERROR(
            memory->ReadFromFile(range, start).ToStatus("preadv", range.size));
        LIBVMM_RETURN_IF_ERROR(
            memory->WriteToFile(range, current).ToStatus("writev", range.size));
        return memory->ReadFromFile(range, current)
            .ToStatus("readv", range.size);
      });
}

}  // namespace
}  // namespace libvmm::testing
