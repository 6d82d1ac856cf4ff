// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_VIRTIO_OPTIONS_H_
#define LIBVMM_EXAMPLES_VMM_VIRTIO_OPTIONS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/platform/pc_virtio_config.h"

namespace vmm {

// What the words behind the options for virtio devices mean, as --help says.
// Each gives kInvalidArgument with a message that names the option, what it
// takes, and what it was given. Every device takes transport=pci or mmio and
// doorbell=inline, eventfd or poll among its words.

// FILE[,ro][,io_uring][,cache=...][,limit=OPS[/BYTES]][,queues=N][,serial=ID]
absl::StatusOr<libvmm::PcDisk> ParseDisk(absl::string_view text);

// tap=NAME, user or pair=NAME, then [,mac=...][,queues=N][,limit=...]
absl::StatusOr<libvmm::PcNet> ParseNet(absl::string_view text);

// CID[,uds=PATH]
absl::StatusOr<libvmm::PcVsock> ParseVsock(absl::string_view text);

// DIRECTORY:TAG[,ro]
absl::StatusOr<libvmm::PcShare> ParseShare(absl::string_view text);

// Nothing, or limit=BYTES.
absl::StatusOr<libvmm::PcRng> ParseRng(absl::string_view text);

// Nothing, or MIB.
absl::StatusOr<libvmm::PcBalloon> ParseBalloon(absl::string_view text);

// Nothing, or words for the plug.
absl::StatusOr<libvmm::PcConsole> ParseVirtioConsole(absl::string_view text);

// "inline", "eventfd", "poll".
absl::StatusOr<libvmm::PcVirtioDoorbell> ParseDoorbell(absl::string_view text);

// Where nothing was said: networks, and disks behind io_uring, whose other half
// the loop serves anyway, are the loop's wholly.
void ChooseDoorbells(libvmm::PcVirtioConfig& virtio);

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_VIRTIO_OPTIONS_H_
