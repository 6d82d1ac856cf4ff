// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_COALESCED_MMIO_H_
#define LIBVMM_KVM_COALESCED_MMIO_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/coalesced_ring.h"
#include "libvmm/kvm/io_space.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

class Vcpu;

// Coalesced writes of one VM (KVM_REGISTER_COALESCED_MMIO): guest writes to the
// zones added here are queued in one ring in the kernel, and the vCPU runs on;
// the next exit for another reason is the time to serve them. It suits
// registers with no effect that the guest could wait for, such as a frame
// buffer's. A full ring makes writes exit as usual.
//
//   LIBVMM_ASSIGN_OR_RETURN(CoalescedMmio coalesced,
//                    CoalescedMmio::Create(vm, vcpu));
//   LIBVMM_ASSIGN_OR_RETURN(CoalescedMmio::Zone zone, coalesced.AddZone(
//       {.space = IoSpace::kMmio, .start = 0xa0000, .size = 0x20000}));
//   ...after each exit, before it is handled:
//   coalesced.Drain([&](const CoalescedWrite& write) { ... });
//
// The order among the writes of one vCPU is kept, and an exit comes after the
// writes before it if the ring is drained first. Drain before a snapshot too.
//
// Thread-safety: zones are thread-safe. Drain is for one thread at a time, of
//     all the VM's threads: there is one ring, seen through every vCPU.
// Ownership: move-only; maps the ring's page and keeps the VM's descriptor
//     open. Zones are move-only, remove themselves, and may outlive this
//     object; what is queued then is lost.
// Errors: kUnimplemented names the capability. See AddZone.
// Cost: Drain makes no system call; an empty ring costs two loads. A zone costs
//     one system call to make and one to end.
class CoalescedMmio {
 private:
  struct Zones;

 public:
  struct ZoneOptions {
    IoSpace space = IoSpace::kMmio;
    // First port or guest-physical address, and bytes; not zero.
    uint64_t start = 0;
    uint32_t size = 0;
  };

  // A zone, as long as this object lives.
  class Zone {
   public:
    Zone(Zone&&) noexcept = default;
    Zone& operator=(Zone&& other) noexcept;
    ~Zone();

    [[nodiscard]] const ZoneOptions& options() const { return options_; }

   private:
    friend class CoalescedMmio;
    Zone(std::shared_ptr<Zones> zones, const ZoneOptions& options);
    void Remove();

    // Null when moved from.
    std::shared_ptr<Zones> zones_;
    ZoneOptions options_;
  };

  // `vcpu` is any vCPU of the VM, lent for the call: its mapping shows the
  // ring. kUnimplemented without KVM_CAP_COALESCED_MMIO.
  static absl::StatusOr<CoalescedMmio> Create(const Vm& vm, const Vcpu& vcpu);

  CoalescedMmio(CoalescedMmio&& other) noexcept;
  CoalescedMmio& operator=(CoalescedMmio&& other) noexcept;
  ~CoalescedMmio();

  // kAlreadyExists when a zone of this object overlaps (the kernel would take
  // both away with either); kInvalidArgument for an empty zone or one past the
  // end of its space; kUnimplemented without KVM_CAP_COALESCED_PIO for ports;
  // kResourceExhausted (ENOSPC) when the VM's I/O bus in the kernel is full.
  absl::StatusOr<Zone> AddZone(const ZoneOptions& options);

  // Hands each queued write to `write`, oldest first, and makes room for more;
  // returns how many. Takes at most one ring full, so a guest that keeps
  // writing does not keep it here. Nothing that is in the ring can make it read
  // outside the page. `write` may call Drain; each write is handed out once.
  size_t Drain(absl::FunctionRef<void(const CoalescedWrite&)> write);

 private:
  struct Ring;

  CoalescedMmio(std::shared_ptr<Zones> zones, std::unique_ptr<Ring> ring);

  std::shared_ptr<Zones> zones_;
  std::unique_ptr<Ring> ring_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_COALESCED_MMIO_H_
