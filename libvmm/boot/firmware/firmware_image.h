// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_FIRMWARE_FIRMWARE_IMAGE_H_
#define LIBVMM_BOOT_FIRMWARE_FIRMWARE_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm {

// A PC's firmware, SeaBIOS or EDK II as one file, as its flash chip shows it:
// read-only below 4 GiB with its last byte at 0xffffffff, and the last 128 KiB
// of it once more below 1 MiB, in RAM, where code for real mode runs and
// unpacks itself.
//
//   LIBVMM_ASSIGN_OR_RETURN(
//       FirmwareImage firmware, FirmwareImage::Create(file.bytes()));
//   LIBVMM_RETURN_IF_ERROR(firmware.AddRom(memory));
//   LIBVMM_RETURN_IF_ERROR(firmware.WriteShadow(memory.guest_memory()));
//   LIBVMM_RETURN_IF_ERROR(EnterResetVector(vcpu));
//
// Thread-safety: immutable.
// Ownership: owns a copy of the image; AddRom shares it with the VmMemory. One
//     object does for many VMs.
// Errors: as each call says.
// Cost: Create copies the image once.
class FirmwareImage {
 public:
  // The image is a multiple of kGranule, not empty, and at most kMaxSize.
  static constexpr uint64_t kGranule = uint64_t{64} << 10;
  static constexpr uint64_t kMaxSize = uint64_t{16} << 20;
  static constexpr uint64_t kMaxShadowSize = uint64_t{128} << 10;

  // kInvalidArgument for another size; MemoryRegion::Anonymous's errors.
  static absl::StatusOr<FirmwareImage> Create(std::span<const std::byte> image);

  // Where the image stands, ending at 4 GiB, and its copy, ending at 1 MiB.
  // Neither is RAM in a memory map.
  [[nodiscard]] GpaRange rom_range() const;
  [[nodiscard]] GpaRange shadow_range() const;

  // Gives the VM the image at rom_range(), once. The guest's writes there exit
  // as MMIO. kAlreadyExists when something is there; else VmMemory::Add's.
  absl::Status AddRom(VmMemory& memory) const;

  // Copies the end of the image to shadow_range(); again for each reset.
  // kOutOfRange: not writable guest memory.
  absl::Status WriteShadow(GuestMemory& memory) const;

 private:
  explicit FirmwareImage(MemoryRegion image) : image_(std::move(image)) {}

  MemoryRegion image_;
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_FIRMWARE_FIRMWARE_IMAGE_H_
