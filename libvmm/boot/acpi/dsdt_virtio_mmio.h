// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_DSDT_VIRTIO_MMIO_H_
#define LIBVMM_BOOT_ACPI_DSDT_VIRTIO_MMIO_H_

#include <cstdint>
#include <span>

#include "libvmm/base/address.h"
#include "libvmm/boot/acpi/aml_writer.h"

namespace libvmm {

// A virtio device with the MMIO transport.
struct AcpiVirtioMmio {
  GpaRange registers;
  uint32_t gsi = 0;  // edge-triggered, active high
};

// A device LNRO0005 in \_SB for each, cache-coherent, with the UIDs 0, 1... At
// most 4096, none with an empty range.
void AppendVirtioMmio(aml::Writer& aml,
                      std::span<const AcpiVirtioMmio> devices);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ACPI_DSDT_VIRTIO_MMIO_H_
