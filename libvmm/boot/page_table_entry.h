// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_PAGE_TABLE_ENTRY_H_
#define LIBVMM_BOOT_PAGE_TABLE_ENTRY_H_

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm {

// An entry of a 4-level x86-64 page table, at any level (Intel SDM volume 3,
// tables 4-15 to 4-20). An entry with PS set at level 2 or 3, and every present
// one at level 1, maps a page; the others point to the table below.
using PteExecuteDisable = Field<uint64_t, 63, 63>;  // XD (AMD: NX)
using PteFrame = Field<uint64_t, 51, 12>;           // physical address / 4096
using PtePageSize = Field<uint64_t, 7, 7>;          // PS, levels 2 and 3
using PteDirty = Field<uint64_t, 6, 6>;             // D, leaf entries
using PteAccessed = Field<uint64_t, 5, 5>;          // A
using PteUser = Field<uint64_t, 2, 2>;              // U/S
using PteWritable = Field<uint64_t, 1, 1>;          // R/W
using PtePresent = Field<uint64_t, 0, 0>;           // P

}  // namespace libvmm

#endif  // LIBVMM_BOOT_PAGE_TABLE_ENTRY_H_
