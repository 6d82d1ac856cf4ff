// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/segment_descriptor.h"

#include "libvmm/kvm/abi.h"

namespace libvmm {

kvm_segment ToKvmSegment(uint64_t descriptor, uint16_t selector,
                         uint64_t base_high) {
  const auto limit = static_cast<uint32_t>(DescriptorLimitHigh::Get(descriptor)
                                               << DescriptorLimitLow::kWidth |
                                           DescriptorLimitLow::Get(descriptor));
  const bool pages = DescriptorGranularity::Get(descriptor) != 0;
  const bool present = DescriptorPresent::Get(descriptor) != 0;
  return {
      .base = base_high << 32 |
              DescriptorBaseHigh::Get(descriptor) << DescriptorBaseLow::kWidth |
              DescriptorBaseLow::Get(descriptor),
      .limit = pages ? limit << 12 | 0xfff : limit,
      .selector = selector,
      .type = static_cast<uint8_t>(DescriptorType::Get(descriptor)),
      .present = present,
      .dpl = static_cast<uint8_t>(DescriptorDpl::Get(descriptor)),
      .db = static_cast<uint8_t>(DescriptorBig::Get(descriptor)),
      .s = static_cast<uint8_t>(DescriptorCodeOrData::Get(descriptor)),
      .l = static_cast<uint8_t>(DescriptorLong::Get(descriptor)),
      .g = static_cast<uint8_t>(pages),
      .avl = static_cast<uint8_t>(DescriptorAvailable::Get(descriptor)),
      .unusable = !present,
      .padding = 0,
  };
}

}  // namespace libvmm
