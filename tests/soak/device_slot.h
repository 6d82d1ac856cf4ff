// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_DEVICE_SLOT_H_
#define TESTS_SOAK_DEVICE_SLOT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_range.h"
#include "tests/soak/change_mark.h"
#include "tests/soak/faults.h"
#include "tests/soak/machine_memory.h"

namespace libvmm::soak {

// A place on a bus where devices come and go while vCPUs dispatch to it.
//
// Thread-safety: thread-safe; a callback of a device takes none of its locks.
class DeviceSlot {
 public:
  // What mark() says.
  static constexpr unsigned kAbsent = 0;
  static constexpr unsigned kPresent = 1;

  enum class Behaviour : uint8_t {
    kDone,
    kStop,
    kDeferred,
    kStores,        // to guest memory, in each call
    kRemovesItself  // in the first call
  };
  static constexpr uint32_t kBehaviourCount = 5;

  struct Options {
    IoRange range;
    Gpa word;  // for kStores
  };
  DeviceSlot(IoBus& bus, MachineMemory& memory, Faults& faults,
             const Options& options);
  ~DeviceSlot();

  // Takes the device away or, where there is none, puts a new one there that
  // reads as `tag`. False when the present one is just removing itself.
  struct ToggleOptions {
    Behaviour behaviour = Behaviour::kDone;
    uint32_t tag = 0;
    // Keep the removed device, so that a late call finds an object that knows
    // it was removed; otherwise a sanitizer is to find the freed one.
    bool keep_removed = false;
  };
  absl::StatusOr<bool> Toggle(const ToggleOptions& options);

  // Runs `body` while the slot cannot change; the device must be called
  // meanwhile. False, without running it, when no lasting device is there.
  absl::StatusOr<bool> CheckCalledDuring(
      absl::FunctionRef<absl::Status()> body);

  [[nodiscard]] ChangeMark::Reading mark() const { return mark_.Read(); }
  // The present, or last, device's.
  [[nodiscard]] uint32_t tag() const { return tag_.load(); }

 private:
  class Device;

  absl::Status Put(const ToggleOptions& options)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Take(bool keep) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  IoBus& bus_;
  MachineMemory& memory_;
  Faults& faults_;
  const Options options_;

  ChangeMark mark_;
  std::atomic<uint32_t> tag_ = 0;
  Mutex mutex_;
  std::unique_ptr<Device> device_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Device>> removed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_DEVICE_SLOT_H_
