// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_BOOT_H_
#define LIBVMM_PLATFORM_PC_BOOT_H_

#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/e820.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/platform/pc_config.h"
#include "libvmm/platform/pc_host.h"

namespace libvmm {

// Loads what `boot` names into memory and sets `vcpu`, the first, to start it.
// The files are read, loaded and let go again.
//
// Errors: the loader's, with the field of PcConfig before its message
//     ("boot.linux.kernel: ..."); those of PcHost::open_file.
// Cost: reads and copies the files; see the loaders.
struct PcBootParts {
  PcHost& host;
  const E820Map& memory_map;
  Gpa rsdp;
  VmMemory& memory;
  Vcpu& vcpu;
};
absl::Status LoadPcBoot(const PcBoot& boot, const PcBootParts& parts);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_BOOT_H_
