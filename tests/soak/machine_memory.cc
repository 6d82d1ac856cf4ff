// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/machine_memory.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "libvmm/base/check.h"
#include "libvmm/base/status_macros.h"
#include "tests/soak/mismatch.h"

namespace libvmm::soak {
namespace {

using SharedAccess = std::shared_lock<std::shared_mutex>;

constexpr uint64_t PageOf(Gpa gpa) { return gpa.value() / kGuestPageSize; }

bool IsSet(const std::vector<uint64_t>& words, uint64_t page) {
  return (words[page / 64] >> (page % 64) & 1) != 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<MachineMemory>> MachineMemory::Create(
    const Vm& vm, const Options& options) {
  LIBVMM_ASSIGN_OR_RETURN(VmMemory vm_memory, VmMemory::Create(vm));
  std::unique_ptr<MachineMemory> memory(
      new MachineMemory(std::move(vm_memory), options));
  LIBVMM_ASSIGN_OR_RETURN(Backing base,
                          MakeBacking(vm, options.base, kBaseSize));
  WriteGuestProgram(base.region.bytes());
  MutexLock lock(memory->mutex_);
  memory->base_externals_.push_back(std::move(base.external));
  LIBVMM_RETURN_IF_ERROR(memory->memory_.Add(Gpa(0), std::move(base.region)));
  return memory;
}

MachineMemory::MachineMemory(VmMemory memory, const Options& options)
    : dirty_source_(options.dirty_source),
      host_words_(options.threads),
      memory_(std::move(memory)),
      guest_(&memory_.guest_memory()) {}

MachineMemory::~MachineMemory() = default;

absl::Status MachineMemory::ToggleWindow(const Vm& vm,
                                         const WindowOptions& options) {
  ChangeMark& mark = windows_[options.index];
  MutexLock lock(mutex_);
  if (mark.Read().state() == kHole) return AddWindow(vm, options);
  const unsigned before = mark.Read().state();
  mark.Begin();
  const absl::Status status = memory_.Remove(Window(options.index));
  mark.End(status.ok() ? kHole : before);
  return status;
}

absl::Status MachineMemory::AddWindow(const Vm& vm,
                                      const WindowOptions& options) {
  const Gpa gpa = Window(options.index);
  LIBVMM_ASSIGN_OR_RETURN(Backing backing,
                          MakeBacking(vm, options.backing, options.size));
  std::ranges::fill(backing.region.bytes(), kFill);
  MemoryRegion region = std::move(backing.region);
  // KVM has no read-only slots with a guest_memfd.
  const bool read_only =
      options.read_only && region.kind() != MemoryRegion::Kind::kGuestMemfd;
  if (read_only) region = region.AsReadOnly();
  if (backing.external.data() != nullptr) {
    externals_.push_back(std::move(backing.external));
  }
  ChangeMark& mark = windows_[options.index];
  mark.Begin();
  const absl::Status status = memory_.Add(gpa, region);
  mark.End(!status.ok() ? kHole : read_only ? kReadOnly : kRam);
  LIBVMM_RETURN_IF_ERROR(status);
  return ExpectCode("a second region at an address",
                    memory_.Add(gpa, std::move(region)),
                    absl::StatusCode::kAlreadyExists);
}

bool MachineMemory::StoreWord(Gpa gpa, uint64_t word) {
  SharedAccess access(access_);
  return guest().Store(gpa, word);
}

bool MachineMemory::StoreByte(Gpa gpa, uint8_t byte) {
  SharedAccess access(access_);
  return guest().Store(gpa, byte);
}

uint32_t MachineMemory::LoadWord(Gpa gpa) const {
  SharedAccess access(access_);
  const std::optional<uint32_t> word = guest().Load<uint32_t>(gpa);
  LIBVMM_CHECK(word.has_value());
  return *word;
}

absl::Status MachineMemory::ReadPage(Gpa gpa, std::span<std::byte> page) const {
  SharedAccess access(access_);
  return guest().Read(gpa, page) ? absl::OkStatus()
                                 : Mismatch("base memory cannot be read");
}

absl::Status MachineMemory::WritePage(Gpa gpa,
                                      std::span<const std::byte> page) {
  SharedAccess access(access_);
  return guest().Write(gpa, page) ? absl::OkStatus()
                                  : Mismatch("base memory cannot be written");
}

absl::Status MachineMemory::CheckHostAccess(const HostAccessOptions& options) {
  SharedAccess access(access_);
  const Gpa own = kHostWords + options.thread * sizeof(uint64_t);
  uint64_t& last = host_words_[options.thread];
  const std::optional<uint64_t> found = guest().Exchange(own, options.value);
  if (found != last) {
    return Mismatch("a word of base memory", found.value_or(~last), last);
  }
  last = options.value;

  const Gpa word = Window(options.window) + WindowHostWord(options.thread);
  const ChangeMark::Reading before = WindowMark(options.window);
  const bool stored = guest().Store(word, options.value);
  const std::optional<uint64_t> loaded = guest().Load<uint64_t>(word);
  if (!before.IsSteady(WindowMark(options.window))) return absl::OkStatus();
  if (stored != (before.state() == kRam)) {
    return Mismatch("a store to a window", stored, before.state());
  }
  if (loaded.has_value() != (before.state() != kHole)) {
    return Mismatch("a load from a window", loaded.has_value(), before.state());
  }
  const uint64_t want = stored ? options.value : kFillWord * 0x1'0000'0001;
  if (loaded.has_value() && *loaded != want) {
    return Mismatch("a word of a window", *loaded, want);
  }
  return absl::OkStatus();
}

void MachineMemory::Reclaim() {
  MutexLock lock(mutex_);
  std::unique_lock<std::shared_mutex> alone(access_);
  guest().Reclaim();
  const std::span<const MemorySlot> slots = memory_.slots();
  // Those of windows that are gone. A region that is there shows its address.
  std::erase_if(externals_, [&](const Mapping& mapping) {
    return std::ranges::none_of(slots, [&](const MemorySlot& slot) {
      return slot.region().data() == mapping.data();
    });
  });
}

absl::Status MachineMemory::ToggleDirtyTracking() {
  MutexLock lock(mutex_);
  LIBVMM_RETURN_IF_ERROR(tracking_ ? memory_.StopDirtyTracking()
                                   : memory_.StartDirtyTracking(dirty_source_));
  tracking_ = !tracking_;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint64_t>> MachineMemory::CollectBase() {
  SharedAccess access(access_);
  std::vector<uint64_t> base(kBaseSize / kGuestPageSize / 64 + 1);
  LIBVMM_RETURN_IF_ERROR(
      memory_
          .CollectDirty(
              [&](const MemorySlot& slot, std::span<const uint64_t> words) {
                if (slot.range().start == Gpa(0)) {
                  std::copy(words.begin(), words.end(), base.begin());
                }
              })
          .status());
  return base;
}

absl::Status MachineMemory::CheckDirty(Gpa gpa, size_t thread,
                                       absl::FunctionRef<absl::Status()> body) {
  MutexLock lock(mutex_);
  const bool started = !tracking_;
  if (started) {
    LIBVMM_RETURN_IF_ERROR(memory_.StartDirtyTracking(dirty_source_));
    tracking_ = true;
  }
  LIBVMM_RETURN_IF_ERROR(CollectBase().status());
  LIBVMM_RETURN_IF_ERROR(body());
  const Gpa own = kHostWords + thread * sizeof(uint64_t);
  if (!StoreWord(own, ++host_words_[thread])) {
    return Mismatch("base memory cannot be written");
  }
  LIBVMM_ASSIGN_OR_RETURN(const std::vector<uint64_t> dirty, CollectBase());
  if (!IsSet(dirty, PageOf(gpa))) {
    return Mismatch("a page that the guest wrote is not dirty");
  }
  if (!IsSet(dirty, PageOf(own))) {
    return Mismatch("a page that the host wrote is not dirty");
  }
  if (IsSet(dirty, PageOf(kUntouchedPage))) {
    return Mismatch("a page that nobody touched is dirty");
  }
  if (started) {
    LIBVMM_RETURN_IF_ERROR(memory_.StopDirtyTracking());
    tracking_ = false;
  }
  return absl::OkStatus();
}

}  // namespace libvmm::soak
