// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_RUNTIME_RUNTIME_LAYOUT_H_
#define LIBVMM_SANDBOX_RUNTIME_RUNTIME_LAYOUT_H_

#include <cstdint>

#include "libvmm/base/address.h"

namespace libvmm::sandbox {

// Where the ring-0 runtime stands in a sandbox's memory: in its first pages, each
// with one purpose, and which addresses it has. All else is the program's.
struct RuntimeLayout {
  static constexpr uint64_t kPageSize = 4096;

  // ---- Guest-physical ---------------------------------------------------------
  // Descriptor table, task-state segment and its I/O bitmap.
  static constexpr Gpa kDescriptors{0x0000};
  static constexpr Gpa kInterrupts{0x1000};  // interrupt descriptor table
  static constexpr Gpa kKernelCode{0x2000};
  static constexpr Gpa kUserCode{0x3000};
  // What an exception pushes. Every vector has this stack.
  static constexpr Gpa kTrapStack{0x4000};
  // Ranges of page-table entries for kernel_refresh.
  static constexpr Gpa kWork{0x5000};
  // Eight doubles for call_with_doubles; what ring 3 may read of the host's.
  static constexpr Gpa kArguments{0x6000};
  // The first page that is the program's or a page table.
  static constexpr Gpa kEnd{0x8000};

  // ---- Guest-virtual ----------------------------------------------------------
  // Ring 0 sees the runtime's pages from here on, and all memory at kDirectMap.
  static constexpr Gva kRuntime{0xffff'ffff'8000'0000};
  static constexpr Gva kDirectMap{0xffff'8880'0000'0000};
  // Ring 3 may execute kUserCode and read kArguments here.
  static constexpr Gva kUserPages{0x7fff'ffff'0000};
  static constexpr Gva kUserArguments{0x7fff'ffff'1000};
  // Programs' addresses end below.
  static constexpr Gva kUserEnd{0x7fff'fffe'0000};

  static constexpr Gva InKernel(Gpa gpa) { return kRuntime + gpa.value(); }
  static constexpr Gva InDirectMap(Gpa gpa) { return kDirectMap + gpa.value(); }

  // ---- Ports ------------------------------------------------------------------
  // System calls, and returns from functions. The only port that ring 3 may
  // write, and only where SYSCALL does not enter ring 0.
  static constexpr uint16_t kSyscallPort = 0x10;
  static constexpr uint16_t kTrapPort = 0x11;
  static constexpr uint16_t kDonePort = 0x12;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_RUNTIME_RUNTIME_LAYOUT_H_
