// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_SAVED_FILES_H_
#define LIBVMM_SANDBOX_FILES_SAVED_FILES_H_

#include <cstdint>

#include "libvmm/sandbox/files/descriptor_table.h"
#include "libvmm/sandbox/files/node_table.h"

namespace libvmm::sandbox::internal {

// What a FileSystemState refers to.
struct SavedFiles {
  SavedNodeTable nodes;
  DescriptorTable descriptors;
  uint64_t working_directory = kRootInode;
  uint32_t umask = 0;
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_FILES_SAVED_FILES_H_
