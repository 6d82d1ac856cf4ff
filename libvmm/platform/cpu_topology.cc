// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/cpu_topology.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace libvmm {
namespace {

// Bits that tell `count` things apart.
unsigned BitsFor(uint32_t count) {
  return static_cast<unsigned>(std::bit_width(count - 1));
}

absl::Status Bad(absl::string_view field, uint32_t value,
                 absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, why));
}

}  // namespace

absl::Status CpuTopology::Validate() const {
  if (sockets == 0) return Bad("sockets", sockets, ", expected at least 1");
  if (cores_per_socket == 0) {
    return Bad("cores_per_socket", cores_per_socket, ", expected at least 1");
  }
  if (threads_per_core == 0) {
    return Bad("threads_per_core", threads_per_core, ", expected at least 1");
  }
  const unsigned threads = thread_bits();
  if (threads > kMaxSocketBits) {
    return Bad("threads_per_core", threads_per_core,
               absl::StrCat(", expected at most ", 1 << kMaxSocketBits));
  }
  if (socket_bits() > kMaxSocketBits) {
    return Bad(
        "cores_per_socket", cores_per_socket,
        absl::StrCat(", expected at most ", 1 << (kMaxSocketBits - threads),
                     " with ", threads_per_core, " threads_per_core"));
  }
  const unsigned most = kMaxApicIdBits - socket_bits();
  if (BitsFor(sockets) > most) {
    return Bad("sockets", sockets,
               absl::StrCat(", expected at most ", 1 << most,
                            " for APIC ids of ", kMaxApicIdBits, " bits"));
  }
  return absl::OkStatus();
}

unsigned CpuTopology::thread_bits() const { return BitsFor(threads_per_core); }

unsigned CpuTopology::socket_bits() const {
  return thread_bits() + BitsFor(cores_per_socket);
}

CpuTopology::Place CpuTopology::PlaceOf(uint32_t vcpu_index) const {
  return {
      .socket = vcpu_index / threads_per_socket(),
      .core = vcpu_index / threads_per_core % cores_per_socket,
      .thread = vcpu_index % threads_per_core,
  };
}

uint32_t CpuTopology::ApicId(uint32_t vcpu_index) const {
  const Place place = PlaceOf(vcpu_index);
  return place.socket << socket_bits() | place.core << thread_bits() |
         place.thread;
}

}  // namespace libvmm
