// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_ABI_H_
#define LIBVMM_KVM_ABI_H_

// The kernel's KVM interface: <linux/kvm.h>, repaired for C++ and brought up to
// the newest kernel that libvmm knows. Nothing else in libvmm includes
// <linux/kvm.h>.
//
// Why a repair: from Linux 5.16 to 6.5 the header declares a flexible array
// through a macro with an empty struct inside (__DECLARE_FLEX_ARRAY). An empty
// struct has size 0 in C and 1 in C++, so a C++ program gets wrong offsets,
// wrong sizes and, because a request code holds the size, wrong ioctl numbers
// for kvm_cpuid2, kvm_msrs, kvm_msr_list, kvm_irq_routing, kvm_signal_mask,
// kvm_reg_list, kvm_xsave, kvm_pmu_event_filter, kvm_coalesced_mmio_ring and
// kvm_stats_desc. Debian 12 ships such a header. The include below replaces the
// macro for its own duration.
//
// A program that includes <linux/kvm.h> itself includes this file first. In the
// other order a damaged header stops the build at the assertions below.
//
// Names are the kernel's, in the global namespace; what the system's header
// lacks is added under the same names by abi_newer.h.

// The file behind the macro; whoever included it earlier does no harm.
#include <linux/stddef.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma push_macro("__DECLARE_FLEX_ARRAY")
#undef __DECLARE_FLEX_ARRAY
// An array of zero elements, as newer kernels write it for C++: no bytes of its
// own, aligned as its element.
#define __DECLARE_FLEX_ARRAY(type, name) type name[0]
#include <linux/kvm.h>  // IWYU pragma: export
#pragma pop_macro("__DECLARE_FLEX_ARRAY")
#pragma GCC diagnostic pop

#include "libvmm/kvm/abi_newer.h"  // IWYU pragma: export

#define LIBVMM_KVM_ABI_ASSERT_(type, size)                   \
  static_assert(sizeof(type) == (size), #type                \
                " has a wrong size in C++: include "         \
                "\"libvmm/kvm/abi.h\" before <linux/kvm.h> " \
                "and <asm/kvm.h>")
LIBVMM_KVM_ABI_ASSERT_(kvm_cpuid2, 8);
LIBVMM_KVM_ABI_ASSERT_(kvm_msrs, 8);
LIBVMM_KVM_ABI_ASSERT_(kvm_msr_list, 4);
LIBVMM_KVM_ABI_ASSERT_(kvm_irq_routing, 8);
LIBVMM_KVM_ABI_ASSERT_(kvm_signal_mask, 4);
LIBVMM_KVM_ABI_ASSERT_(kvm_reg_list, 8);
LIBVMM_KVM_ABI_ASSERT_(kvm_xsave, 4096);
LIBVMM_KVM_ABI_ASSERT_(kvm_pmu_event_filter, 32);
LIBVMM_KVM_ABI_ASSERT_(kvm_coalesced_mmio_ring, 8);
LIBVMM_KVM_ABI_ASSERT_(kvm_stats_desc, 16);
#undef LIBVMM_KVM_ABI_ASSERT_

#endif  // LIBVMM_KVM_ABI_H_
