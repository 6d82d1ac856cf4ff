/* SPDX-License-Identifier: Apache-2.0 */
/* What a C compiler makes of the system's own header, for abi_test.cc. */
#include "libvmm/kvm/abi_test_in_c.h"

#include <linux/kvm.h>

#define LIBVMM_KVM_CODE(request, code) {#request, (request)},
#define LIBVMM_KVM_SIZE(type, size) {#type, sizeof(struct type)},
const struct AbiRow kAbiRowsInC[] = {
#include "libvmm/kvm/abi_rows.inc"
};
const unsigned kAbiRowCountInC = sizeof(kAbiRowsInC) / sizeof(kAbiRowsInC[0]);
