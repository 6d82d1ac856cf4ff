// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_layout.h"

#include <algorithm>

namespace libvmm {

PcLayout PcLayout::ForRam(uint64_t ram_size, unsigned address_bits) {
  constexpr uint64_t kWindowAlignment = uint64_t{1} << 30;
  PcLayout layout;
  layout.low_ram = {Gpa(0), std::min(ram_size, kPciWindow.start.value())};
  layout.high_ram = {kHighRam, ram_size - layout.low_ram.size};
  const uint64_t high_end = kHighRam.value() + layout.high_ram.size;
  const uint64_t start =
      (high_end + kWindowAlignment - 1) / kWindowAlignment * kWindowAlignment;
  const uint64_t end = uint64_t{1} << address_bits;
  layout.pci_window_64 = {
      Gpa(start), start < end ? std::min(kPciWindow64Size, end - start) : 0};
  return layout;
}

}  // namespace libvmm
