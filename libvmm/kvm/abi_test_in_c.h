/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBVMM_KVM_ABI_TEST_IN_C_H_
#define LIBVMM_KVM_ABI_TEST_IN_C_H_

#ifdef __cplusplus
extern "C" {
#endif

struct AbiRow {
  const char* name;
  unsigned long value;
};

extern const struct AbiRow kAbiRowsInC[];
extern const unsigned kAbiRowCountInC;

#ifdef __cplusplus
}
#endif

#endif /* LIBVMM_KVM_ABI_TEST_IN_C_H_ */
