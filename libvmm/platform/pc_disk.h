// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_DISK_H_
#define LIBVMM_PLATFORM_PC_DISK_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/block/block_backend.h"
#include "libvmm/platform/pc_virtio_config.h"

namespace libvmm {

// The file behind a disk, opened.
//
// Thread-safety: as the back-end.
// Ownership: owns the back-end, which `source` and `update_capacity` refer to.
struct PcDiskFile {
  std::unique_ptr<BlockBackend> backend;
  // What a loop has to serve; null when nothing.
  EventSource* source = nullptr;
  // Reads the file's size anew.
  absl::AnyInvocable<absl::Status()> update_capacity;
};

// Opens disk.path, which is not empty, as `disk` says. Errors as open(2) and the
// back-ends; the message names the file.
absl::StatusOr<PcDiskFile> OpenPcDisk(const PcDisk& disk);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_DISK_H_
