// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/callback_disk.h"

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

BlockTraits Traits(const CallbackDisk::Options& options) {
  return {.block_size = options.block_size,
          .physical_block_size = options.block_size,
          .read_only = options.write == nullptr,
          .volatile_cache = options.flush != nullptr};
}

std::span<std::byte> Bytes(const iovec& buffer) {
  return {static_cast<std::byte*>(buffer.iov_base), buffer.iov_len};
}

}  // namespace

absl::StatusOr<std::unique_ptr<CallbackDisk>> CallbackDisk::Create(
    Options options) {
  LIBVMM_RETURN_IF_ERROR(Traits(options).Validate("CallbackDisk::Options::"));
  if (options.read == nullptr) {
    return absl::InvalidArgumentError(
        "CallbackDisk::Options::read is not a function");
  }
  return std::unique_ptr<CallbackDisk>(new CallbackDisk(std::move(options)));
}

CallbackDisk::CallbackDisk(Options options)
    : options_(std::move(options)), traits_(Traits(options_)) {}

BlockAnswer CallbackDisk::Submit(BlockRequest& request) {
  uint64_t offset = request.offset;
  switch (request.operation) {
    case BlockOperation::kRead:
      for (const iovec& buffer : request.buffers) {
        if (!options_.read(offset, Bytes(buffer))) return BlockAnswer::kIoError;
        offset += buffer.iov_len;
      }
      return BlockAnswer::kOk;
    case BlockOperation::kWrite:
      if (traits_.read_only) return BlockAnswer::kIoError;
      for (const iovec& buffer : request.buffers) {
        if (!options_.write(offset, Bytes(buffer))) {
          return BlockAnswer::kIoError;
        }
        offset += buffer.iov_len;
      }
      if (!request.durable || options_.flush == nullptr || options_.flush()) {
        return BlockAnswer::kOk;
      }
      return BlockAnswer::kIoError;
    case BlockOperation::kFlush:
      return options_.flush == nullptr || options_.flush()
                 ? BlockAnswer::kOk
                 : BlockAnswer::kIoError;
    case BlockOperation::kDiscard:
    case BlockOperation::kWriteZeroes:
      break;
  }
  return BlockAnswer::kUnsupported;
}

}  // namespace libvmm
