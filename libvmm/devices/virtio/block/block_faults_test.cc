// SPDX-License-Identifier: Apache-2.0
// Each system call of a disk in a file fails in its turn: making it gives a
// Status, and a request the status that the guest is to see.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/block/block_protocol.h"
#include "libvmm/devices/virtio/block/disk_file.h"
#include "libvmm/devices/virtio/block/file_disk.h"
#include "libvmm/devices/virtio/block/uring_disk.h"
#include "libvmm/devices/virtio/block/virtio_block.h"
#include "libvmm/testing/empty_file.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/fault_injection.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm {
namespace {

namespace block = virtio::block;

using ::libvmm::testing::Check;
using ::libvmm::testing::Expect;
using ::libvmm::testing::FaultScenario;
using ::libvmm::testing::VirtioTestLink;
using ::libvmm::testing::WithoutFaults;

constexpr off_t kCapacity = 64 * 1024;

UniqueFd EmptyFile() {
  return WithoutFaults([] { return testing::EmptyFile(kCapacity); });
}

TEST(BlockFaultsTest, FileDiskCreate) {
  if (!testing::HasDirectTransfers(EmptyFile())) {
    GTEST_SKIP() << "the file system has no O_DIRECT";
  }
  Check(FaultScenario("FileDisk::Create, O_DIRECT")
            .Survives("fallocate", {}, "the disk offers no discard"),
        []() -> absl::Status {
          return FileDisk::Create(EmptyFile(), {.cache = DiskCache::kNone})
              .status();
        });
}

TEST(BlockFaultsTest, FileDiskUpdateCapacity) {
  Check(FaultScenario("FileDisk::UpdateCapacity"), []() -> absl::Status {
    const auto disk =
        WithoutFaults([] { return *FileDisk::Create(EmptyFile(), {}); });
    return disk->UpdateCapacity();
  });
}

// liburing's own calls are not seen: uring_disk_test fails them.
TEST(BlockFaultsTest, UringDiskCreate) {
  const absl::Status here = UringDisk::Create(EmptyFile(), {}).status();
  if (!here.ok()) GTEST_SKIP() << here;
  Check(FaultScenario("UringDisk::Create")
            .Survives("fallocate", {}, "the disk offers no discard"),
        []() -> absl::Status {
          return UringDisk::Create(EmptyFile(), {}).status();
        });
}

std::vector<std::byte> Request(uint32_t type, std::span<const std::byte> data) {
  const block::RequestHeader header{.type = type};
  std::vector<std::byte> request(sizeof header + data.size());
  std::memcpy(request.data(), &header, sizeof header);
  std::ranges::copy(data, request.begin() + sizeof header);
  return request;
}

// What the guest sees as an error must be IOERR, and the request that follows
// is served again.
absl::Status GuestUsesDisk(VirtioTestLink& link) {
  const std::vector<std::byte> data(4096, std::byte{0x5a});
  const block::Range range{.sector = 0, .sectors = 4};
  const auto range_bytes = std::as_bytes(std::span(&range, 1));
  const struct {
    std::vector<std::byte> out;
    uint32_t in_size;
  } requests[] = {
      {Request(block::kOut, data), 1},
      {Request(block::kFlushRequest, {}), 1},
      {Request(block::kIn, {}), 4097},
      {Request(block::kWriteZeroesRequest, range_bytes), 1},
  };
  bool failed = false;
  for (const auto& request : requests) {
    const std::optional<VirtioTestLink::Reply> reply =
        link.Request(0, request.out, request.in_size);
    if (!reply.has_value() || link.failed()) {
      return absl::DataLossError("a request without an answer");
    }
    const auto status = static_cast<uint8_t>(reply->bytes.back());
    if (status == block::kIoError) {
      failed = true;
    } else if (status != block::kOk) {
      return absl::DataLossError("a status that says something else");
    } else if (request.in_size > 1 && !failed &&
               reply->bytes.front() != std::byte{0x5a}) {
      return absl::DataLossError("a read of something else");
    }
  }
  return failed ? absl::InternalError(
                      "IOERR of preadv, pwritev, fdatasync or fallocate")
                : absl::OkStatus();
}

TEST(BlockFaultsTest, RequestsOnAFileDisk) {
  const std::string reason = "a guest's status has no errno";
  Check(FaultScenario("VirtioBlock, requests on a FileDisk")
            .Survives("preadv", {EINTR}, "made again")
            .Survives("pwritev", {EINTR}, "made again")
            .Survives("fdatasync", {EINTR}, "made again")
            .Survives("fallocate", {EINTR}, "made again")
            .Survives("fallocate", {EOPNOTSUPP}, "zeroes are written as data")
            .GivesCode("preadv", {EAGAIN}, absl::StatusCode::kInternal, reason)
            .GivesCode("pwritev", {EAGAIN, ENOSPC}, absl::StatusCode::kInternal,
                       reason)
            .GivesCode("fdatasync", {ENOSPC, EROFS},
                       absl::StatusCode::kInternal, reason)
            .GivesCode("fallocate", {ENOSPC, EFBIG},
                       absl::StatusCode::kInternal, reason),
        []() -> absl::Status {
          const auto disk =
              WithoutFaults([] { return *FileDisk::Create(EmptyFile(), {}); });
          const auto device =
              WithoutFaults([&] { return *VirtioBlock::Create(*disk, {}); });
          const auto link = WithoutFaults([&] {
            auto made = std::make_unique<VirtioTestLink>(
                *device, VirtioTestLink::Options{
                             .features = block::kFlush | block::kWriteZeroes});
            EXPECT_TRUE(made->Activate());
            return made;
          });
          return GuestUsesDisk(*link);
        });
}

}  // namespace
}  // namespace libvmm
