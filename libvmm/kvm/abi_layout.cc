// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/abi.h"

#define LIBVMM_KVM_CODE(request, code) \
  static_assert((request) == (code), #request " has a wrong request code");
#define LIBVMM_KVM_SIZE(type, size) \
  static_assert(sizeof(struct type) == (size), #type " has a wrong size");
#include "libvmm/kvm/abi_rows.inc"
