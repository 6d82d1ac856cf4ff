// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_PROCESS_RESOURCES_H_
#define LIBVMM_TESTING_PROCESS_RESOURCES_H_

#include <cstdint>
#include <map>
#include <string>

namespace libvmm::testing {

// The descriptors and mappings of this process, to be compared before and after
// something that must give back what it took.
//
//   KeepHeapInBrk();
//   const ProcessResources before = ProcessResources::Now();
//   ...
//   EXPECT_EQ(ProcessResources::Now().Since(before), "");
//
// Mappings are summed up by protection and name, so that neighbours which the
// kernel merges or splits make no difference. Left out are [heap], [stack] and,
// under a sanitizer, everything anonymous: there the sanitizer's own memory
// comes and goes.
//
// Thread-safety: of one moment only while no other thread opens or maps.
// Cost: reads /proc/self/fd and /proc/self/maps, about 100 microseconds;
//     allocates.
struct ProcessResources {
  // What each open descriptor refers to, by its number.
  std::map<int, std::string> descriptors;
  // Bytes, by "rw-p /path" or "rw-s anon_inode:kvm-vcpu:0".
  std::map<std::string, uint64_t> mappings;

  static ProcessResources Now();

  // A line for everything that is there more or less than in `before`; empty
  // when nothing is.
  [[nodiscard]] std::string Since(const ProcessResources& before) const;
};

// Makes malloc take its memory from [heap] alone, so that its growth is not
// mistaken for a mapping that leaked. For the whole process, from now on.
void KeepHeapInBrk();

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_PROCESS_RESOURCES_H_
