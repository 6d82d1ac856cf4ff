// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/gdt.h"

#include "libvmm/base/check.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {

Gdt Gdt::LongMode(Gpa tss, uint32_t tss_size) {
  Gdt gdt;
  gdt.Add(kKernelCode32Descriptor);
  gdt.Add(kKernelCode64Descriptor);
  gdt.Add(kKernelDataDescriptor);
  gdt.Add(kUserCode32Descriptor);
  gdt.Add(kUserDataDescriptor);
  gdt.Add(kUserCode64Descriptor);
  gdt.Add(kNullDescriptor);
  gdt.AddTss64(tss, tss_size);
  return gdt;
}

uint16_t Gdt::Add(uint64_t descriptor) {
  LIBVMM_CHECK(descriptors_.size() <= SelectorIndex::kMax);
  const auto index = static_cast<uint16_t>(descriptors_.size());
  descriptors_.push_back(descriptor);
  return SelectorIndex::Of(index) |
         SelectorRpl::Of(static_cast<uint16_t>(DescriptorDpl::Get(descriptor)));
}

uint16_t Gdt::AddTss64(Gpa base, uint32_t size) {
  const uint16_t selector = Add(TssDescriptorLow(base, size));
  Add(TssDescriptorHigh(base));
  return selector;
}

kvm_dtable Gdt::Register(Gva base) const {
  return {.base = base.value(),
          .limit = static_cast<uint16_t>(bytes().size() - 1),
          .padding = {}};
}

std::optional<kvm_segment> Gdt::Segment(uint16_t selector) const {
  const size_t index = SelectorIndex::Get(selector);
  if (SelectorLdt::Get(selector) != 0 || index >= descriptors_.size()) {
    return {};
  }
  const uint64_t descriptor = descriptors_[index];
  // A 64-bit system descriptor goes on in the next entry, with base 63:32. No
  // other descriptor that is present fits into 32 bits.
  const bool system = DescriptorCodeOrData::Get(descriptor) == 0;
  const uint64_t next =
      index + 1 < descriptors_.size() ? descriptors_[index + 1] : 0;
  const uint64_t base_high = system && next >> 32 == 0 ? next : 0;
  return ToKvmSegment(descriptor, selector, base_high);
}

}  // namespace libvmm
