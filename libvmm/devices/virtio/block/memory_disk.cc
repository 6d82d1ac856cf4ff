// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/memory_disk.h"

#include <cstring>
#include <memory>
#include <utility>

#include "libvmm/base/address.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/memory/guest_copy.h"

namespace libvmm {
namespace {

BlockTraits Traits(const MemoryDisk::Options& options, bool read_only) {
  return {.block_size = options.block_size,
          .physical_block_size = options.block_size,
          .read_only = read_only,
          .volatile_cache = false,
          .discard = !read_only,
          .write_zeroes = !read_only};
}

}  // namespace

absl::StatusOr<std::unique_ptr<MemoryDisk>> MemoryDisk::Create(
    MemoryRegion region, const Options& options) {
  Options all = options;
  all.read_only = options.read_only || region.read_only();
  LIBVMM_RETURN_IF_ERROR(
      Traits(all, all.read_only).Validate("MemoryDisk::Options::"));
  const std::span<std::byte> bytes = region.bytes();
  return std::unique_ptr<MemoryDisk>(
      new MemoryDisk(std::move(region), bytes, all));
}

absl::StatusOr<std::unique_ptr<MemoryDisk>> MemoryDisk::Create(
    std::span<std::byte> bytes, const Options& options) {
  LIBVMM_RETURN_IF_ERROR(
      Traits(options, options.read_only).Validate("MemoryDisk::Options::"));
  return std::unique_ptr<MemoryDisk>(
      new MemoryDisk(MemoryRegion(), bytes, options));
}

MemoryDisk::MemoryDisk(MemoryRegion region, std::span<std::byte> bytes,
                       const Options& options)
    : region_(std::move(region)),
      bytes_(bytes),
      traits_(Traits(options, options.read_only)) {}

BlockAnswer MemoryDisk::Submit(BlockRequest& request) {
  if (!RangeFits(bytes_.size(), request.offset, request.size)) {
    return BlockAnswer::kIoError;
  }
  const bool writes = request.operation != BlockOperation::kRead &&
                      request.operation != BlockOperation::kFlush;
  if (writes && traits_.read_only) return BlockAnswer::kIoError;
  std::byte* at = bytes_.data() + request.offset;
  switch (request.operation) {
    case BlockOperation::kRead:
      for (const iovec& buffer : request.buffers) {
        internal::CopyToGuest(static_cast<std::byte*>(buffer.iov_base), at,
                              buffer.iov_len);
        at += buffer.iov_len;
      }
      break;
    case BlockOperation::kWrite:
      for (const iovec& buffer : request.buffers) {
        internal::CopyFromGuest(
            at, static_cast<const std::byte*>(buffer.iov_base), buffer.iov_len);
        at += buffer.iov_len;
      }
      break;
    case BlockOperation::kWriteZeroes:
      std::memset(at, 0, request.size);
      break;
    case BlockOperation::kDiscard:
      // Any content will do. Zeroes would make memory of pages that are none.
    case BlockOperation::kFlush:
      break;
  }
  return BlockAnswer::kOk;
}

}  // namespace libvmm
