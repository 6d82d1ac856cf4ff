// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_FLEX_BLOCK_H_
#define LIBVMM_KVM_FLEX_BLOCK_H_

// Internal: owners of the kernel structs that end in a flexible array
// (kvm_cpuid2, kvm_msr_list, kvm_reg_list, kvm_xsave, kvm_nested_state ...).

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "libvmm/base/check.h"

namespace libvmm::internal {

struct FreeBlock {
  void operator()(void* block) const { std::free(block); }
};

// Owns one heap block that starts with a T and has room for more behind it. T
// may be incomplete where the pointer is only held, moved and destroyed.
template <typename T>
using FlexBlock = std::unique_ptr<T, FreeBlock>;

// A zeroed block of `size` bytes, at least sizeof(T), aligned to 64 bytes,
// which is what XSAVE images want and more than any other T needs. Aborts when
// there is no memory left, as operator new does without exceptions.
template <typename T>
FlexBlock<T> AllocateFlexBlock(size_t size) {
  constexpr size_t kAlignment = 64;
  LIBVMM_CHECK(size >= sizeof(T));
  const size_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
  void* const block = std::aligned_alloc(kAlignment, rounded);
  LIBVMM_CHECK(block != nullptr);
  std::memset(block, 0, rounded);
  return FlexBlock<T>(static_cast<T*>(block));
}

}  // namespace libvmm::internal

#endif  // LIBVMM_KVM_FLEX_BLOCK_H_
