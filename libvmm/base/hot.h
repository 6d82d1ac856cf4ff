// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_HOT_H_
#define LIBVMM_BASE_HOT_H_

// For definitions in .cc files: functions on the way from an exit to a device
// and back. The linker puts them next to each other (.text.hot), whatever
// archives they come from. A VM exit leaves little of a program in the
// first-level caches and TLBs, so what counts there is how many pages and lines
// the way touches.
#define LIBVMM_HOT [[gnu::hot]]

#endif  // LIBVMM_BASE_HOT_H_
