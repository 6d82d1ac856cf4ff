// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_IMAGE_CONTENTS_H_
#define LIBVMM_SANDBOX_IMAGE_CONTENTS_H_

// Internal: what a frozen sandbox consists of.

#include <memory>

#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/vcpu_image.h"
#include "libvmm/kvm/xsave.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/files/file_system_state.h"
#include "libvmm/sandbox/guest_cpu.h"
#include "libvmm/sandbox/instance.h"
#include "libvmm/sandbox/syscalls/process_state.h"

namespace libvmm::sandbox::internal {

// Immutable, and used by any thread.
struct ImageContents {
  std::shared_ptr<const Setup> setup;
  UniqueFd memory;        // memfd, sealed against writing
  MemoryRegion pristine;  // all of it, to read
  AddressSpace::Snapshot space;
  FileSystemState files;
  ProcessState process;
  std::shared_ptr<const GuestCpu::Snapshot> cpu;
  XsaveState xsave;
  VcpuImage vcpu;
  bool initialized = false;
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_IMAGE_CONTENTS_H_
