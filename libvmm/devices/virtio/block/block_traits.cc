// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/block_traits.h"

#include <bit>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace libvmm {
namespace {

bool IsBlockSize(uint32_t size) {
  return std::has_single_bit(size) && size >= BlockTraits::kMinBlockSize &&
         size <= BlockTraits::kMaxBlockSize;
}

}  // namespace

absl::Status BlockTraits::Validate(absl::string_view who) const {
  if (!IsBlockSize(block_size)) {
    return absl::InvalidArgumentError(absl::StrCat(
        who, "block_size ", block_size, " is not a power of two from ",
        kMinBlockSize, " to ", kMaxBlockSize));
  }
  if (!IsBlockSize(physical_block_size) || physical_block_size < block_size) {
    return absl::InvalidArgumentError(
        absl::StrCat(who, "physical_block_size ", physical_block_size,
                     " is not a power of two from block_size ", block_size,
                     " to ", kMaxBlockSize));
  }
  if (optimal_size % block_size != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(who, "optimal_size ", optimal_size,
                     " is not a multiple of block_size ", block_size));
  }
  return absl::OkStatus();
}

}  // namespace libvmm
