// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/coalesced_mmio.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libvmm/base/address.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/coalesced_ring.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {
namespace {

kvm_coalesced_mmio_zone Argument(const CoalescedMmio::ZoneOptions& options) {
  kvm_coalesced_mmio_zone zone = {};
  zone.addr = options.start;
  zone.size = options.size;
  zone.pio = options.space == IoSpace::kPio ? 1 : 0;
  return zone;
}

GpaRange Range(const CoalescedMmio::ZoneOptions& options) {
  return {Gpa(options.start), options.size};
}

bool Overlap(const CoalescedMmio::ZoneOptions& a,
             const CoalescedMmio::ZoneOptions& b) {
  return a.space == b.space && Range(a).Overlaps(Range(b));
}

}  // namespace

struct CoalescedMmio::Zones {
  explicit Zones(std::shared_ptr<const VmFd> vm_fd) : vm(std::move(vm_fd)) {}

  const std::shared_ptr<const VmFd> vm;
  Mutex mutex;
  std::vector<ZoneOptions> zones ABSL_GUARDED_BY(mutex);
};

struct CoalescedMmio::Ring {
  Mapping page;
};

CoalescedMmio::CoalescedMmio(std::shared_ptr<Zones> zones,
                             std::unique_ptr<Ring> ring)
    : zones_(std::move(zones)), ring_(std::move(ring)) {}
CoalescedMmio::CoalescedMmio(CoalescedMmio&&) noexcept = default;
CoalescedMmio& CoalescedMmio::operator=(CoalescedMmio&&) noexcept = default;
CoalescedMmio::~CoalescedMmio() = default;

absl::StatusOr<CoalescedMmio> CoalescedMmio::Create(const Vm& vm,
                                                    const Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(
      const int page,
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_COALESCED_MMIO)));
  LIBVMM_ASSIGN_OR_RETURN(
      Mapping mapping,
      Mapping::Create({.size = PageSize(),
                       .flags = MAP_SHARED,
                       .fd = vcpu.fd(),
                       .offset = static_cast<off_t>(page * PageSize())}));
  return CoalescedMmio(std::make_shared<Zones>(vm.shared_fd()),
                       std::make_unique<Ring>(Ring{std::move(mapping)}));
}

absl::StatusOr<CoalescedMmio::Zone> CoalescedMmio::AddZone(
    const ZoneOptions& options) {
  const bool fits =
      options.space == IoSpace::kPio
          ? RangeFits(kIoPortCount, options.start, options.size)
          : GpaRange::Create(Gpa(options.start), options.size).has_value();
  if (options.size == 0 || !fits) {
    return absl::InvalidArgumentError(
        absl::StrCat("coalesced zone at 0x", absl::Hex(options.start),
                     " of size ", options.size, " is not inside its space"));
  }
  if (options.space == IoSpace::kPio) {
    LIBVMM_RETURN_IF_ERROR(
        RequireCapability(zones_->vm->get(),
                          LIBVMM_CAPABILITY(KVM_CAP_COALESCED_PIO))
            .status());
  }
  MutexLock lock(zones_->mutex);
  for (const ZoneOptions& other : zones_->zones) {
    if (!Overlap(options, other)) continue;
    return absl::AlreadyExistsError(
        absl::StrCat("coalesced zone at 0x", absl::Hex(options.start),
                     " of size ", options.size, " overlaps the one at 0x",
                     absl::Hex(other.start), " of size ", other.size));
  }
  const kvm_coalesced_mmio_zone zone = Argument(options);
  LIBVMM_RETURN_IF_ERROR(
      CallIoctl(zones_->vm->get(), LIBVMM_IOCTL(KVM_REGISTER_COALESCED_MMIO),
                &zone,
                absl::StrCat("start 0x", absl::Hex(options.start), ", size ",
                             options.size))
          .status());
  zones_->zones.push_back(options);
  return Zone(zones_, options);
}

size_t CoalescedMmio::Drain(
    absl::FunctionRef<void(const CoalescedWrite&)> write) {
  return internal::DrainCoalescedRing(ring_->page.bytes(), write);
}

CoalescedMmio::Zone::Zone(std::shared_ptr<Zones> zones,
                          const ZoneOptions& options)
    : zones_(std::move(zones)), options_(options) {}

CoalescedMmio::Zone& CoalescedMmio::Zone::operator=(Zone&& other) noexcept {
  if (this != &other) {
    Remove();
    zones_ = std::move(other.zones_);
    options_ = other.options_;
  }
  return *this;
}

CoalescedMmio::Zone::~Zone() { Remove(); }

void CoalescedMmio::Zone::Remove() {
  if (zones_ == nullptr) return;
  {
    constexpr IoctlRequest kUnregister =
        LIBVMM_IOCTL(KVM_UNREGISTER_COALESCED_MMIO);
    const kvm_coalesced_mmio_zone zone = Argument(options_);
    MutexLock lock(zones_->mutex);
    // Fails only without memory, and then takes the zone away all the same.
    ::ioctl(zones_->vm->get(), kUnregister.code, &zone);
    std::erase_if(zones_->zones, [this](const ZoneOptions& other) {
      return Overlap(options_, other);
    });
  }
  zones_.reset();
}

}  // namespace libvmm
