// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vm_memory.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/dirty_log.h"
#include "libvmm/memory/dirty_bitmap.h"

namespace libvmm {
namespace {

std::string Text(const GpaRange& range) {
  return absl::StrCat("0x", absl::Hex(range.start.value()), " +0x",
                      absl::Hex(range.size));
}

// KVM logs neither slots that the guest cannot write nor guest_memfd.
bool IsLoggable(const MemorySlot& slot) {
  return !slot.read_only() && !slot.has_guest_memfd();
}

uint64_t CountBits(std::span<const uint64_t> words) {
  uint64_t count = 0;
  for (const uint64_t word : words) {
    count += static_cast<uint64_t>(std::popcount(word));
  }
  return count;
}

auto LowerBound(auto& slots, Gpa gpa) {
  return std::lower_bound(slots.begin(), slots.end(), gpa,
                          [](const MemorySlot& slot, Gpa start) {
                            return slot.range().start < start;
                          });
}

}  // namespace

VmMemory::VmMemory(std::shared_ptr<const VmFd> vm, uint32_t slot_limit)
    : vm_(std::move(vm)),
      slot_limit_(slot_limit),
      guest_memory_(GuestMemory::Create()) {}
VmMemory::VmMemory(VmMemory&&) noexcept = default;
VmMemory& VmMemory::operator=(VmMemory&&) noexcept = default;
VmMemory::~VmMemory() = default;

absl::StatusOr<VmMemory> VmMemory::Create(const Vm& vm) {
  LIBVMM_ASSIGN_OR_RETURN(
      const int slot_limit,
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_NR_MEMSLOTS)));
  return VmMemory(vm.shared_fd(), static_cast<uint32_t>(slot_limit));
}

absl::StatusOr<uint16_t> VmMemory::FindFreeId() {
  for (uint32_t id = 0; id < slot_limit_; ++id) {
    if (id == ranges_.size()) ranges_.push_back({});
    if (ranges_[id].size != 0 || vm_->IsSlotClaimed(id)) continue;
    return static_cast<uint16_t>(id);
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("all ", slot_limit_, " memory slots are in use"));
}

absl::Status VmMemory::CheckFree(const GpaRange& range) const {
  for (const GpaRange& reserved : reserved_) {
    if (!range.Overlaps(reserved)) continue;
    return absl::AlreadyExistsError(absl::StrCat(
        Text(range), " overlaps the reserved range ", Text(reserved)));
  }
  for (const MemorySlot& slot : slots_) {
    if (!range.Overlaps(slot.range())) continue;
    return absl::AlreadyExistsError(absl::StrCat(
        Text(range), " overlaps the memory at ", Text(slot.range())));
  }
  return absl::OkStatus();
}

absl::Status VmMemory::Add(Gpa gpa, MemoryRegion region,
                           const AddOptions& options) {
  const std::optional<GpaRange> range = GpaRange::Create(gpa, region.size());
  if (range.has_value()) {
    LIBVMM_RETURN_IF_ERROR(CheckFree(*range));
  }
  LIBVMM_ASSIGN_OR_RETURN(const uint16_t id, FindFreeId());
  // Devices see the same rights as the guest.
  if (options.read_only) region = region.AsReadOnly();
  // In the same call: another one costs as much as the slot itself.
  const bool log_dirty = tracking_.has_value() && !region.read_only() &&
                         !options.private_memory.has_value() &&
                         region.kind() != MemoryRegion::Kind::kGuestMemfd;
  LIBVMM_ASSIGN_OR_RETURN(
      MemorySlot slot,
      MemorySlot::Create(vm_, region,
                         {.id = id,
                          .gpa = gpa,
                          .log_dirty = log_dirty,
                          .read_only = options.read_only,
                          .private_memory = options.private_memory}));
  LIBVMM_RETURN_IF_ERROR(guest_memory_->Add(gpa, std::move(region)));
  ranges_[id] = slot.range();
  slots_.insert(LowerBound(slots_, gpa), std::move(slot));
  return absl::OkStatus();
}

absl::Status VmMemory::Remove(Gpa gpa) {
  const auto slot = LowerBound(slots_, gpa);
  if (slot == slots_.end() || slot->range().start != gpa) {
    return absl::NotFoundError(
        absl::StrCat("no memory starts at 0x", absl::Hex(gpa.value())));
  }
  LIBVMM_RETURN_IF_ERROR(slot->Delete());
  ranges_[slot->id()] = {};
  slots_.erase(slot);
  return guest_memory_->Remove(gpa);
}

absl::Status VmMemory::Reserve(const GpaRange& range) {
  LIBVMM_RETURN_IF_ERROR(CheckFree(range));
  reserved_.push_back(range);
  return absl::OkStatus();
}

absl::Status VmMemory::SetLogging(bool on) {
  absl::Status result;
  for (MemorySlot& slot : slots_) {
    if (IsLoggable(slot)) result.Update(slot.SetDirtyLogging(on));
    if (on && !result.ok()) break;
  }
  return result;
}

absl::Status VmMemory::StartDirtyTracking(DirtySource source) {
  if (tracking_.has_value()) {
    return absl::FailedPreconditionError("dirty tracking is on already");
  }
  if (absl::Status status = SetLogging(true); !status.ok()) {
    SetLogging(false).IgnoreError();
    return status;
  }
  guest_memory_->TrackAllDirty();
  tracking_ = source;
  return absl::OkStatus();
}

absl::Status VmMemory::StopDirtyTracking() {
  if (!tracking_.has_value()) return absl::OkStatus();
  LIBVMM_RETURN_IF_ERROR(SetLogging(false));
  tracking_.reset();
  guest_memory_->StopTrackingAllDirty();
  return absl::OkStatus();
}

bool VmMemory::MarkDirty(const DirtyPage& page) {
  if (page.slot >= ranges_.size() || page.address_space != 0) return false;
  const GpaRange& range = ranges_[page.slot];
  if (page.page >= range.size / PageSize()) return false;
  guest_memory_->MarkDirty({range.start + page.page * PageSize(), PageSize()});
  return true;
}

absl::StatusOr<uint64_t> VmMemory::CollectDirty(
    absl::FunctionRef<void(const MemorySlot& slot,
                           std::span<const uint64_t> words)>
        visit) {
  if (!tracking_.has_value()) {
    return absl::FailedPreconditionError("dirty tracking is off");
  }
  const std::vector<PlacedRegion> places = guest_memory_->Regions();
  std::vector<uint64_t> words;
  uint64_t total = 0;
  for (const MemorySlot& slot : slots_) {
    words.assign(DirtyLogWordCount(slot), 0);
    // KVM's part first: it can fail, and then the host's marks stay.
    if (slot.log_dirty() && *tracking_ != DirtySource::kRing) {
      LIBVMM_RETURN_IF_ERROR(GetDirtyLog(slot, words));
      if (*tracking_ == DirtySource::kManualLog) {
        const PageRange all = {.first = 0,
                               .count = slot.range().size / PageSize()};
        LIBVMM_RETURN_IF_ERROR(ClearDirtyLog(slot, all, words));
      }
    }
    const auto place = std::lower_bound(
        places.begin(), places.end(), slot.range().start,
        [](const PlacedRegion& p, Gpa gpa) { return p.gpa < gpa; });
    if (place != places.end() && place->gpa == slot.range().start &&
        place->dirty != nullptr) {
      place->dirty->Collect(words);
    }
    const uint64_t count = CountBits(words);
    if (count == 0) continue;
    total += count;
    visit(slot, words);
  }
  return total;
}

}  // namespace libvmm
