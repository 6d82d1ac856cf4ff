// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/write_log.h"

#include <cstring>

#include "libvmm/base/status_macros.h"
#include "tests/soak/mismatch.h"

namespace libvmm::soak {

absl::StatusOr<std::unique_ptr<WriteLog>> WriteLog::Create(const Vm& vm,
                                                           const Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(CoalescedMmio ring, CoalescedMmio::Create(vm, vcpu));
  return std::unique_ptr<WriteLog>(new WriteLog(std::move(ring)));
}

absl::Status WriteLog::Toggle(size_t vcpu) {
  MutexLock lock(zone_mutex_);
  std::optional<CoalescedMmio::Zone>& zone = zones_[vcpu];
  if (zone.has_value()) {
    zone.reset();
    return absl::OkStatus();
  }
  const CoalescedMmio::ZoneOptions options = {.space = IoSpace::kMmio,
                                              .start = LogAddress(vcpu).value(),
                                              .size = sizeof(uint32_t)};
  LIBVMM_ASSIGN_OR_RETURN(zone, ring_.AddZone(options));
  return ExpectCode("a second zone at an address",
                    ring_.AddZone(options).status(),
                    absl::StatusCode::kAlreadyExists);
}

absl::StatusOr<std::vector<uint32_t>> WriteLog::Take(size_t vcpu) {
  MutexLock lock(mutex_);
  bool strange = false;
  std::vector<std::pair<size_t, uint32_t>> drained;
  ring_.Drain([&](const CoalescedWrite& write) {
    const uint64_t writer = (write.address - LogAddress(0).value()) / 0x1000;
    uint32_t word = 0;
    if (write.space != IoSpace::kMmio || writer >= kMaxVcpus ||
        write.address != LogAddress(writer).value() ||
        write.size != sizeof word) {
      strange = true;
      return;
    }
    std::memcpy(&word, write.data.data(), sizeof word);
    drained.emplace_back(writer, word);
  });
  for (const auto& [writer, word] : drained) taken_[writer].push_back(word);
  if (strange) return Mismatch("a coalesced write that nobody made");
  return std::exchange(taken_[vcpu], {});
}

}  // namespace libvmm::soak
