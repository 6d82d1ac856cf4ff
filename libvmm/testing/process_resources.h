// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_PROCESS_RESOURCES_H_
#define LIBVMM_TESTING_PROCESS_RESOURCES_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace libvmm::testing {

// The descriptors and mappings of this process, to be compared before and after
// something that must give back what it took.
//
//   KeepHeapInBrk();
//   const ProcessResources before = ProcessResources::Now();
//   ...
//   EXPECT_EQ(ProcessResources::Now().Since(before), "");
//
// Both are compared by identity, not by number: a descriptor that was closed
// and its number given to another file is a difference (except between eventfds
// or KVM's descriptors of one kind, where the kernel shows none), and so is a
// mapping that has moved or is of another file. Neighbours with the same
// protection and file count as one mapping, so that it makes no difference how
// the kernel merges or splits them. Left out are [heap], [stack] and, under a
// sanitizer, everything anonymous: there the sanitizer's own memory comes and
// goes.
//
// Thread-safety: of one moment only while no other thread opens or maps.
// Cost: reads /proc/self/fd and /proc/self/maps, about 100 microseconds;
//     allocates.
struct ProcessResources {
  // Start and end of each, ascending.
  using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

  // What a descriptor refers to.
  struct File {
    // "/dev/kvm", "anon_inode:kvm-vm".
    std::string name;
    // Device, inode, flags, and an eventfd's id.
    std::string identity;

    friend bool operator==(const File&, const File&) = default;
  };

  // By the number of the open descriptor.
  std::map<int, File> descriptors;
  // By protection, device, inode and name: "rw-s 00:01 1042 /memfd:ram".
  std::map<std::string, Ranges> mappings;

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
