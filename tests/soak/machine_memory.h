// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_MACHINE_MEMORY_H_
#define TESTS_SOAK_MACHINE_MEMORY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/mutex.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/kvm/vm_memory.h"
#include "tests/soak/backing.h"
#include "tests/soak/change_mark.h"
#include "tests/soak/guest_program.h"

namespace libvmm::soak {

// The memory of one VM: a VmMemory whose windows come and go while vCPUs run
// and the host's threads access it.
//
// Accesses take a shared lock, which Reclaim takes alone: that is the one thing
// that GuestMemory asks of its users.
//
// Thread-safety: thread-safe.
class MachineMemory {
 public:
  // States of a window's mark.
  static constexpr unsigned kHole = 0;
  static constexpr unsigned kRam = 1;
  static constexpr unsigned kReadOnly = 2;
  // Every byte of a new window.
  static constexpr std::byte kFill{0x5a};
  static constexpr uint32_t kFillWord = 0x5a5a5a5a;

  struct Options {
    BackingKind base = BackingKind::kAnonymous;
    // Of dirty pages; kRing is not offered.
    VmMemory::DirtySource dirty_source = VmMemory::DirtySource::kLog;
    size_t threads = 0;
  };
  static absl::StatusOr<std::unique_ptr<MachineMemory>> Create(
      const Vm& vm, const Options& options);
  ~MachineMemory();

  // Removes the window, or adds it where there is a hole.
  struct WindowOptions {
    size_t index = 0;
    BackingKind backing = BackingKind::kAnonymous;
    uint64_t size = 0;
    bool read_only = false;
  };
  absl::Status ToggleWindow(const Vm& vm, const WindowOptions& options);
  [[nodiscard]] ChangeMark::Reading WindowMark(size_t index) const {
    return windows_[index].Read();
  }

  // Words of base memory, always there.
  [[nodiscard]] bool StoreWord(Gpa gpa, uint64_t word);
  [[nodiscard]] bool StoreByte(Gpa gpa, uint8_t byte);
  [[nodiscard]] uint32_t LoadWord(Gpa gpa) const;
  absl::Status ReadPage(Gpa gpa, std::span<std::byte> page) const;
  absl::Status WritePage(Gpa gpa, std::span<const std::byte> page);

  // Loads and stores words of `thread`'s own in base memory and in a window and
  // holds them against what must be there.
  struct HostAccessOptions {
    size_t thread = 0;
    size_t window = 0;
    uint64_t value = 0;
  };
  absl::Status CheckHostAccess(const HostAccessOptions& options);

  void Reclaim();

  absl::Status ToggleDirtyTracking();
  // Runs `body`, which makes the guest write to its page `gpa`, with tracking
  // on; afterwards that page and what the host wrote must be reported, and the
  // page that nobody touches must not.
  absl::Status CheckDirty(Gpa gpa, size_t thread,
                          absl::FunctionRef<absl::Status()> body);

 private:
  MachineMemory(VmMemory memory, const Options& options);

  absl::Status AddWindow(const Vm& vm, const WindowOptions& options)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<uint64_t>> CollectBase()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  [[nodiscard]] GuestMemory& guest() { return *guest_; }
  [[nodiscard]] const GuestMemory& guest() const { return *guest_; }

  const VmMemory::DirtySource dirty_source_;
  // What each thread last stored in its word of base memory.
  std::vector<uint64_t> host_words_;
  std::array<ChangeMark, kWindows> windows_;

  Mutex mutex_;
  // Before memory_, which uses them to its end.
  std::vector<Mapping> externals_ ABSL_GUARDED_BY(mutex_);
  std::vector<Mapping> base_externals_;
  VmMemory memory_ ABSL_GUARDED_BY(mutex_);
  bool tracking_ ABSL_GUARDED_BY(mutex_) = false;

  GuestMemory* const guest_;
  // Taken after mutex_.
  mutable std::shared_mutex access_;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_MACHINE_MEMORY_H_
