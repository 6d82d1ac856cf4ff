// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/binary_stats.h"

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {
namespace {

absl::Status ReadExactly(int fd, std::span<std::byte> bytes, uint64_t offset) {
  ssize_t count;
  do {
    count = ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    return ErrnoStatus(errno, absl::StrCat("pread(statistics, ", bytes.size(),
                                           " bytes at ", offset, ")"));
  }
  if (static_cast<size_t>(count) != bytes.size()) {
    return absl::DataLossError(absl::StrCat(
        "KVM statistics: ", count, " of ", bytes.size(), " bytes at ", offset));
  }
  return absl::OkStatus();
}

}  // namespace

BinaryStats::BinaryStats(UniqueFd fd, StatsLayout layout, uint64_t data_offset)
    : fd_(std::move(fd)),
      layout_(std::move(layout)),
      data_offset_(data_offset) {}

absl::StatusOr<BinaryStats> BinaryStats::Open(const Vm& vm) {
  return OpenOn(vm.fd());
}

absl::StatusOr<BinaryStats> BinaryStats::Open(const Vcpu& vcpu) {
  return OpenOn(vcpu.fd());
}

absl::StatusOr<BinaryStats> BinaryStats::OpenOn(int vm_or_vcpu_fd) {
  const absl::StatusOr<int> result =
      CallIoctl(vm_or_vcpu_fd, LIBVMM_IOCTL(KVM_GET_STATS_FD), 0);
  if (!result.ok()) {
    return internal::WithoutCapability(
        result.status(), LIBVMM_CAPABILITY(KVM_CAP_BINARY_STATS_FD));
  }
  UniqueFd fd(*result);
  std::byte header[StatsLayout::kHeaderSize];
  LIBVMM_RETURN_IF_ERROR(ReadExactly(fd.get(), header, 0));
  LIBVMM_ASSIGN_OR_RETURN(const StatsLayout::Extent extent,
                          StatsLayout::ParseHeader(header));
  std::vector<std::byte> metadata(extent.metadata_size);
  LIBVMM_RETURN_IF_ERROR(ReadExactly(fd.get(), metadata, 0));
  LIBVMM_ASSIGN_OR_RETURN(StatsLayout layout, StatsLayout::Parse(metadata));
  return BinaryStats(std::move(fd), std::move(layout), extent.data_offset);
}

absl::Status BinaryStats::Read(std::span<uint64_t> values) const {
  const size_t count = layout_.value_count();
  if (values.size() < count) {
    return absl::InvalidArgumentError(
        absl::StrCat("BinaryStats::Read: room for ", values.size(), " of ",
                     count, " values"));
  }
  return ReadExactly(fd_.get(), std::as_writable_bytes(values.first(count)),
                     data_offset_);
}

}  // namespace libvmm
