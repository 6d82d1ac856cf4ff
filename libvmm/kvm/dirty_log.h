// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_DIRTY_LOG_H_
#define LIBVMM_KVM_DIRTY_LOG_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/memory/dirty_bitmap.h"

namespace libvmm {

// The bitmap of pages that vCPUs dirtied in a slot with dirty logging: bit n %
// 64 of word n / 64 is page n of the slot. What the host writes is not in it;
// VmMemory merges the two. A page that was only read may be in it, here and in
// dirty rings: KVM counts a page when it maps it writable, which it does at
// once where the host's page is.
//
// Thread-safety: thread-compatible with the slot; vCPUs may run.

// Words that the log of this slot fills.
[[nodiscard]] size_t DirtyLogWordCount(const MemorySlot& slot);

// KVM_GET_DIRTY_LOG: overwrites `bitmap` with the log. The log is emptied and
// its pages write-protected again, unless EnableManualDirtyLog was called: then
// it stays as it is until ClearDirtyLog.
//
// Errors: kInvalidArgument when `bitmap` has fewer than DirtyLogWordCount
//     words; kFailedPrecondition when the slot does not log; kNotFound (ENXIO)
//     when the VM has dirty rings.
// Cost: one system call, linear in the slot's pages.
absl::Status GetDirtyLog(const MemorySlot& slot, std::span<uint64_t> bitmap);

// KVM_CLEAR_DIRTY_LOG: write-protects again the pages of `pages` that are set
// in `bitmap`, which holds the range alone, and takes them out of the log.
// Clearing just before a page is copied, range by range, spares the guest
// faults that a GET of all would cause.
//
// Errors: kInvalidArgument unless pages.first is a multiple of 64, and so is
//     pages.count or the range ends with the slot; or when `bitmap` is too
//     short. kUnimplemented without KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.
// Cost: two system calls, linear in the range.
absl::Status ClearDirtyLog(const MemorySlot& slot, PageRange pages,
                           std::span<const uint64_t> bitmap);

// KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 for all slots of the VM: GET only reads,
// CLEAR clears. With `initially_set` a log starts with every page dirty, so
// that the first clearing also does the first write protection, bit by bit.
// kUnimplemented names the capability, or its bit.
absl::Status EnableManualDirtyLog(const Vm& vm, bool initially_set);

}  // namespace libvmm

#endif  // LIBVMM_KVM_DIRTY_LOG_H_
