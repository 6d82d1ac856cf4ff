// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_TRAITS_H_
#define LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_TRAITS_H_

#include <cstdint>

#include "absl/status/status.h"

namespace libvmm {

// What a disk is like.
//
// Thread-safety: a value.
struct BlockTraits {
  static constexpr uint32_t kMinBlockSize = 512;
  static constexpr uint32_t kMaxBlockSize = 65536;

  // Offsets and sizes of requests are multiples of it: a power of two, at least
  // kMinBlockSize and at most kMaxBlockSize.
  uint32_t block_size = kMinBlockSize;
  // What the medium works in: a power of two times block_size, at most
  // kMaxBlockSize; writes that are not multiples of it cost more.
  uint32_t physical_block_size = kMinBlockSize;
  // A good size for a request, a multiple of block_size; zero: there is none.
  uint32_t optimal_size = 0;
  bool read_only = false;
  // Writes may be lost until a kFlush, or need `durable`. False: a write that
  // has completed is as safe as this disk makes it.
  bool volatile_cache = true;
  // It can do kDiscard and kWriteZeroes.
  bool discard = false;
  bool write_zeroes = false;

  // kInvalidArgument names the field that is not as said above, after `who`.
  [[nodiscard]] absl::Status Validate(absl::string_view who) const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_TRAITS_H_
